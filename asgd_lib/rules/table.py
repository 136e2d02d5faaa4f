"""Rules that remember the last gradient of every worker: DuDe-ASGD and MIFA."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import choice, count, inside, positive
from asgd_lib.rules.base import Arrival, Arrivals


class TableState(NamedTuple):
    x: Tensor
    k: int
    n: int
    g: Tensor  # (..., d) mean of the table
    table: tuple[Tensor | None, ...]  # each worker's last gradient
    batch: tuple[int, ...]  # workers that arrived since the last step, each once, in order
    full: bool  # every worker has a gradient in the table


class _Table:
    """Every arrival replaces its worker's row of the table; every `batch_size` distinct arrivals the server steps with the table's mean."""

    late_start = False

    def batch_size(self, s: TableState) -> int:
        raise NotImplementedError

    def init(self, x0: Tensor, n: int) -> TableState:
        return TableState(x0, 0, n, torch.zeros_like(x0), (None,) * n, (), False)

    def receive(self, s: TableState, a: Arrival) -> TableState:
        i, new, old = a.worker, a.grad.clone(), s.table[a.worker]
        table = s.table[:i] + (new,) + s.table[i + 1 :]
        g = s.g + (new if old is None else new - old) / s.n
        batch = s.batch if i in s.batch else s.batch + (i,)
        if len(batch) < self.batch_size(s):
            return TableState(s.x, s.k, s.n, g, table, batch, s.full)
        if len(batch) == s.n:  # everybody is fresh: sum anew, which stops drift and makes this bitwise minibatch SGD
            g = _sum_in_order(table, batch) / s.n
        full = s.full or all(row is not None for row in table)
        if not full or (self.late_start and not s.full):
            return TableState(s.x, s.k, s.n, g, table, (), full)
        return TableState(s.x - self.lr * g, s.k + 1, s.n, g, table, (), True)

    def receive_all(self, s: TableState, a: Arrivals) -> Iterator[TableState]:
        """The same where nobody waits; a row is its own change on the way to the new gradient, while it is in the caches, and the mean
        is written over the old one.
        """
        n = torch.tensor(float(s.n), dtype=s.x.dtype, device=s.x.device)
        for grad, i, read_k, seconds in zip(*a, strict=True):
            if s.full and s.n > 1 and self.batch_size(s) == 1:
                row = s.table[i]
                s.g.addcdiv_(torch.sub(grad, row, out=row), n)
                row.copy_(grad)
                step = self.lr * s.g
                s = TableState(torch.sub(s.x, step, out=step), s.k + 1, s.n, s.g, s.table, (), True)
            else:
                s = self.receive(s, Arrival(grad, i, s.k - read_k, seconds))
            yield s


def _sum_in_order(table: tuple[Tensor, ...], order: tuple[int, ...]) -> Tensor:
    total = torch.zeros_like(table[order[0]])
    for i in order:
        total = total + table[i]
    return total


@dataclass(frozen=True)
class DuDe(_Table):
    """Step with the mean of everybody's last gradient: g <- g + (1/n) (new - G_i), G_i <- new, x <- x - lr g.

    Full-asynchronous with `n_arrivals = 1`; with c = `n_arrivals` the server waits for c distinct workers, steps once and answers them all
    (c = n is minibatch SGD). The server keeps the table, O(n d) numbers, and spends O(d) a step; where every worker is fresh the mean is
    summed anew.

    `warm_up` says how the table is filled before the first step:

    - "continue" (default): nobody waits; workers go on at x0 until the last first gradient arrives, and that arrival makes the first step;
    - "broadcast": all wait for the last first gradient, and x1 is sent to everybody (our reading of the paper's initialisation);
    - "next": as "continue", but the step is made by the arrival after (as the Ringleader authors implement the method).

    Source: Wang, Sun, Wai and Zhang, arXiv:2405.16966 (also as IA2SGD; journal version 10.1287/ijoc.2025.1443). Raises ValueError where
    `n_arrivals` exceeds the number of workers.
    """

    lr: float | Tensor
    n_arrivals: int = 1
    warm_up: str = "continue"

    def __post_init__(self):
        positive("lr", self.lr)
        count("n_arrivals", self.n_arrivals)
        choice("warm_up", self.warm_up, ("continue", "broadcast", "next"))

    @property
    def late_start(self) -> bool:
        """Whether the arrival that fills the table makes no step yet."""
        return self.warm_up == "next"

    def init(self, x0: Tensor, n: int) -> TableState:
        count("n_arrivals", self.n_arrivals, most=n, remedy="The server waits for distinct workers.")
        return super().init(x0, n)

    def batch_size(self, s: TableState) -> int:
        return s.n if self.warm_up == "broadcast" and not s.full else self.n_arrivals


@dataclass(frozen=True)
class MIFA(_Table):
    """Synchronous rounds in which a part of the workers refresh their rows: x <- x - lr (1/n) sum_i G_i once a round.

    The first round needs everybody; later ones ceil(`participation` n) distinct workers.
    Source: Gu, Huang, Zhang and Huang 2021 (MIFA); one local step a round.
    """

    lr: float | Tensor
    participation: float = 0.5

    def __post_init__(self):
        positive("lr", self.lr)
        positive("participation", self.participation)
        inside("participation", self.participation, 0.0, 1.0)

    def batch_size(self, s: TableState) -> int:
        return max(1, math.ceil(self.participation * s.n - 1e-9)) if s.full else s.n  # as the policy Rounds counts
