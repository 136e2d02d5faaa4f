"""Rules that step only with gradients at the present model: Rennala (asynchronous mini-batching) and Malenia SGD."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import count, positive
from asgd_lib.rules.base import Arrival
from asgd_lib.rules.buffered import BufferedState
from asgd_lib.rules.tuples import put
from asgd_lib.rules.wrappers import Momentum

_ROUNDING = 1e-12


@dataclass(frozen=True)
class _Batch:
    lr: float | Tensor
    batch: int | None = None

    def __post_init__(self):
        positive("lr", self.lr)
        if self.batch is not None:
            count("batch", self.batch)


@dataclass(frozen=True)
class Rennala(_Batch):
    """Step with the mean of every `batch` gradients that were computed at the present model: x <- x - lr (1 / batch) sum g.

    Fast workers give several; what was read before the last step is thrown away. `batch` (None: n) is S = max(1, sigma^2 / eps) in theory.
    Source: Tyurin and Richtarik 2023, Rennala SGD. Their code lets only the S fastest workers compute where S < n; here all do.
    """

    def init(self, x0: Tensor, n: int) -> BufferedState:
        return BufferedState(x0, 0, n, torch.zeros_like(x0), 0)

    def receive(self, s: BufferedState, a: Arrival) -> BufferedState:
        if a.delay:
            return s
        batch, total, collected = self.batch or s.n, s.total + a.grad, s.count + 1
        if collected < batch:
            return BufferedState(s.x, s.k, s.n, total, collected)
        return BufferedState(s.x - self.lr * (total / batch), s.k + 1, s.n, torch.zeros_like(total), 0)


@dataclass(frozen=True)
class DelayFilter(Momentum):
    """Asynchronous mini-batching: heavy-ball momentum over Rennala's steps, u <- beta u + lr (1 / batch) sum g, x <- x - u.

    Gradients that were not computed at the present model are filtered out, and the others make batches for any optimiser; here that is
    momentum SGD (`of` is not used). Without momentum it is Rennala SGD.
    Source: Attia, Gaash and Koren 2025; the choice of the optimiser is ours.
    """

    batch: int | None = None

    @cached_property
    def inner(self) -> Rennala:
        """The filter, with this step size."""
        return Rennala(self.lr, self.batch)


class MaleniaState(NamedTuple):
    x: Tensor
    k: int
    n: int
    totals: tuple[Tensor | None, ...]  # (..., d) sum of each worker's gradients at x
    counts: tuple[int, ...]  # how many they are, B_i


@dataclass(frozen=True)
class Malenia(_Batch):
    """Step with the mean of the workers' means, all at the present model: x <- x - lr (1/n) sum_i (1/B_i) sum_j g_ij.

    The server steps as soon as the harmonic mean of the B_i is `batch` / n or more; None means n, one gradient of everybody, which is how
    the authors' code stops. The step is unbiased however different the data and the speeds.
    Source: Tyurin and Richtarik 2023, Malenia SGD; "or more" rather than "more" is our reading.
    """

    def init(self, x0: Tensor, n: int) -> MaleniaState:
        return MaleniaState(x0, 0, n, (None,) * n, (0,) * n)

    def receive(self, s: MaleniaState, a: Arrival) -> MaleniaState:
        if a.delay:
            return s
        i, old = a.worker, s.totals[a.worker]
        totals = put(s.totals, i, a.grad.clone() if old is None else old + a.grad)
        counts = put(s.counts, i, s.counts[i] + 1)
        enough = s.n**2 * (1 + _ROUNDING)
        if 0 in counts or (self.batch or s.n) * sum(1 / b for b in counts) > enough:
            return MaleniaState(s.x, s.k, s.n, totals, counts)
        g = torch.zeros_like(s.x)
        for total, b in zip(totals, counts, strict=True):
            g = g + total / b
        return MaleniaState(s.x - self.lr * (g / s.n), s.k + 1, s.n, (None,) * s.n, (0,) * s.n)
