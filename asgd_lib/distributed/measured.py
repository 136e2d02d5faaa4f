"""What a synchronous or hierarchical job on real processes leaves behind: its trace, its times, and its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from asgd_lib.problems import Problem
from asgd_lib.trace import Trace


@dataclass(frozen=True)
class Measured:
    """`times` (n, batches, 3): from when to when each worker computed each batch, and when it was ready for the next, in seconds.

    `models` (epochs + 1, d): the mean of the workers' models at the start and when each had finished an epoch. `trace` has a row a
    gradient, ordered by the moment at which it was there, and replays with the same method and problem to the last of these models, up to
    the order in which sums are taken. It is None where the processes ran on several machines, whose clocks differ.
    """

    method: str
    times: NDArray[np.float64]
    models: Tensor
    trace: Trace | None

    @property
    def x(self) -> Tensor:
        """(d,) the model at the end."""
        return self.models[-1]

    @property
    def epochs(self) -> int:
        return len(self.models) - 1

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(epochs,) s on the wall until the last worker had finished each epoch."""
        return self._by_epoch()[:, :, -1, 2].max(0)

    @property
    def compute(self) -> NDArray[np.float64]:
        """(epochs,) s in each epoch in which a worker computed, mean over the workers."""
        parts = self._by_epoch()
        return (parts[..., 1] - parts[..., 0]).sum(2).mean(0)

    @property
    def exposed(self) -> NDArray[np.float64]:
        """(epochs,) s in each epoch in which a worker did not compute: communication, waiting, updates; mean over the workers."""
        ends = self._by_epoch()[:, :, -1, 2].mean(0)
        return np.diff(ends, prepend=0.0) - self.compute

    @property
    def step(self) -> float:
        """Seconds a batch, over the whole run."""
        return float(self.seconds[-1]) / self.times.shape[1]

    def frame(self, problem: Problem) -> pd.DataFrame:
        """One row an epoch and one for the start: `method, epoch, seconds`, `compute_s` and `exposed_s` of the epoch, exact metrics."""
        start = np.zeros(1)
        values = {"seconds": self.seconds, "compute_s": self.compute, "exposed_s": self.exposed}
        table = {name: np.concatenate([start, column]) for name, column in values.items()}
        metrics = {name: value.cpu().numpy() for name, value in problem.metrics(self.models).items()}
        return pd.DataFrame({"method": self.method, "epoch": range(self.epochs + 1)} | table | metrics)

    def _by_epoch(self) -> NDArray[np.float64]:
        n, batches, _ = self.times.shape
        return self.times.reshape(n, self.epochs, batches // self.epochs, 3)


def trace_of(times: NDArray[np.float64], meta: Mapping[str, str]) -> Trace:
    """The trace of workers that computed batch t from `times[w, t, 0]` to `times[w, t, 1]` seconds (n, batches, 3); job t n + w.

    A model was read when its job began, after all gradients that were there by then: whatever it depends on was, since times are of one
    clock and messages take time.
    """
    n, batches, _ = times.shape
    start, end = (times[:, :, i].T.ravel() for i in (0, 1))  # in the order of jobs
    order = np.argsort(end, kind="stable")
    read = np.minimum(np.searchsorted(end[order], start[order], side="right"), np.arange(n * batches))
    return Trace(n, order, order % n, read, start[order], end[order], meta=dict(meta))
