"""One process of a synchronous or hierarchical job: gradients that take as long as a cluster says, and the record of its times."""

from __future__ import annotations

import copy
import math
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from asgd_lib.clusters import Cluster
from asgd_lib.problems import Problem

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Differs between machines, and is the same in all namespaces of one."""


class Gpu:
    """The gradients of worker `rank` of `size`, each stretched by sleeping to the seconds that `cluster` gives it.

    Batch t of worker w is job t n + w, in the order in which a synchronous method hands jobs out. Times are seconds of `time.monotonic()`
    since the common start, which all processes of one machine share.
    """

    def __init__(self, problem: Problem, rank: int, size: int, seed: int, cluster: Cluster | None):
        self.problem, self.rank, self.size = problem, rank, size
        self._clock = None if cluster is None else cluster.clock(seed)
        device = problem.x0.device
        self._worker, self._seed = torch.tensor([rank], device=device), torch.tensor([seed], device=device)
        self.rows: list[list[float]] = []  # batch by batch: compute from, compute to, ready for the next batch
        self._start = self._seconds = self._zero = 0.0

    def together(self) -> None:
        """Set the common zero of time, behind a barrier; what happens at first use only has happened by then."""
        self.begin(self.problem.x0, 0)
        zero = torch.zeros(1, dtype=torch.float64, device=self.problem.x0.device)
        dist.all_reduce(zero)  # connections are made at first use
        zero.fill_(time.monotonic())
        dist.all_reduce(zero, op=dist.ReduceOp.MIN)
        self._zero = float(zero)

    def gradient(self, x: Tensor, batch: int) -> Tensor:
        """The gradient (d,) at `x` (d,), after as many seconds as it should take."""
        gradient = self.begin(x, batch)
        self.until(1.0)
        self.end()
        return gradient

    def begin(self, x: Tensor, batch: int) -> Tensor:
        """The gradient (d,), at once: the caller lets the time pass with `until` and `end`."""
        self._start = time.monotonic() - self._zero
        job = torch.tensor([batch * self.size + self.rank], device=x.device)
        gradient = self.problem.grad(x[None, None], self._worker, job, self._seed)[0, 0]
        if self._clock is not None:
            self._seconds, delivered = self._clock(self.rank, batch, self._start)
            if not delivered or self._seconds == math.inf:
                raise ValueError(
                    f"Worker {self.rank} leaves at its batch {batch}, and a sum needs every worker: use a cluster where none drops out."
                )
        return gradient

    def until(self, share: float) -> None:
        """Sleep until that share of the batch's seconds has passed."""
        remaining = self._zero + self._start + share * self._seconds - time.monotonic()
        if remaining > 0:
            time.sleep(remaining)

    def end(self) -> None:
        """Note that the batch's gradient is there."""
        now = self._now()
        self.rows.append([self._start, now, now])

    def ready(self) -> None:
        """Note that nothing stands between this worker and its next batch."""
        self.rows[-1][2] = self._now()

    def _now(self) -> float:
        """Seconds since the common start, once this process's device has done what it was told."""
        if self.problem.x0.is_cuda:
            torch.cuda.synchronize(self.problem.x0.device)
        return time.monotonic() - self._zero

    def records(self) -> tuple[Tensor, bool]:
        """The rows of all workers, (n, batches, 3) in seconds, and whether all ran on one machine, so that their clocks are one."""
        boot = zlib.crc32(BOOT.read_bytes()) if BOOT.exists() else self.rank
        rows = torch.tensor([[float(boot)] * 3, *self.rows], dtype=torch.float64, device=self.problem.x0.device)
        everybody = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(everybody, rows)
        table = torch.stack(everybody).cpu()
        return table[:, 1:], bool((table[:, 0] == table[0, 0]).all())


def moved(problem: Problem, device: str | torch.device | None) -> Problem:
    """A copy of `problem` whose tensors are on `device`; the problem itself where they are, or `device` is None."""
    if device is None or torch.device(device) == problem.x0.device:
        return problem
    there = {}
    for tensor in _tensors(vars(problem).values()):
        data = tensor.detach().to(device)
        there[id(tensor)] = nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
    return copy.deepcopy(problem, there)  # which puts one and the same tensor wherever the original stood


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, nn.Module):
            yield from (*value.parameters(), *value.buffers())
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)
