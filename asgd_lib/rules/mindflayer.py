"""MindFlayer and Vecna SGD: synchronous rounds of trials that may fail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import count, inside, positive
from asgd_lib.rules.base import Arrival


class MindFlayerState(NamedTuple):
    x: Tensor  # (..., d) the model of this round, with the steps that have arrived so far
    k: int  # rounds of which a gradient has arrived
    n: int
    start: Tensor  # (..., d) the model of this round
    total: Tensor  # (..., d) gradients of this round


@dataclass(frozen=True)
class MindFlayer:
    """Step with the gradients of a round divided by how many are expected: x <- x - lr (sum of g) / (sum_i p_i B_i).

    In each round worker i tries B_i = `trials` times to compute a gradient within `limit` seconds (policy `Trials`); it succeeds with
    probability p_i = `success`, which has to be known, and what takes longer is lost. Each is one number, or one for each worker. Without a
    limit and with one trial each this is minibatch SGD. Between rounds `x` is the method's model; within one it holds the part of the step
    that has arrived, which no worker reads.
    Source: MindFlayer SGD 2024. In real runs a process still ends what it computes before it takes its next job.
    """

    lr: float | Tensor
    trials: int | Sequence[int] = 1
    limit: float | Sequence[float] = math.inf
    success: float | Sequence[float] = 1.0

    def __post_init__(self):
        positive("lr", self.lr)
        for trials in _each(self.trials):
            count("trials", trials, most=1_000_000)
        for limit in _each(self.limit):
            if limit != math.inf:
                positive("limit", limit)
        positive("success", self.success)
        inside("success", self.success, 0.0, 1.0)

    def init(self, x0: Tensor, n: int) -> MindFlayerState:
        for name in ("trials", "limit", "success"):
            value = getattr(self, name)
            if hasattr(value, "__len__") and len(value) != n:
                raise ValueError(f"{name} must be one number, or one for each of the {n} workers; got {value!r}.")
        return MindFlayerState(x0, 0, n, x0, torch.zeros_like(x0))

    def gradients(self, worker: int) -> float:
        """Mean number of gradients of `worker` in a round, p_i B_i."""
        trials, success = (value[worker] if hasattr(value, "__len__") else value for value in (self.trials, self.success))
        return trials * success

    def expected(self, n: int) -> float:
        """Mean number of gradients in a round, sum_i p_i B_i."""
        return float(sum(self.gradients(worker) for worker in range(n)))

    def receive(self, s: MindFlayerState, a: Arrival) -> MindFlayerState:
        # All of a round read the model after the last arrival of the round before: the first has delay 0, the others 1.
        start, total, k = (s.x, torch.zeros_like(s.total), s.k + 1) if a.delay == 0 else (s.start, s.total, s.k)
        total = total + self.weighed(a)
        return MindFlayerState(start - self.lr * (total / self.expected(s.n)), k, s.n, start, total)

    def weighed(self, a: Arrival) -> Tensor:
        """The gradient (..., d) as it enters the sum."""
        return a.grad


@dataclass(frozen=True)
class Vecna(MindFlayer):
    """MindFlayer for heterogeneous data: x <- x - lr (1/n) sum_i (1/(p_i B_i)) sum_j g_ij, everybody's over its own expected number.

    The step is unbiased however different the data and the chances are. Source: Vecna SGD, MindFlayer SGD 2024.
    """

    def expected(self, n: int) -> float:
        """n: every worker counts for one."""
        return float(n)

    def weighed(self, a: Arrival) -> Tensor:
        return a.grad / self.gradients(a.worker)


def _each(value: float | Sequence[float]) -> Sequence[float]:
    return value if hasattr(value, "__len__") else (value,)
