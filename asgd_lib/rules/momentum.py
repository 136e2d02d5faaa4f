"""Momentum on asynchronous gradients: the baselines that ordered momentum is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import inside, positive
from asgd_lib.rules.base import Arrival
from asgd_lib.rules.tuples import put


def power(base: float | Tensor, exponent: int) -> float | Tensor:
    """base^exponent by multiplications alone: torch's own power rounds a number differently in batches of different sizes."""
    result, square = 1.0, base
    while exponent:
        if exponent & 1:
            result = result * square
        square, exponent = square * square, exponent >> 1
    return result


class MomentumState(NamedTuple):
    x: Tensor
    k: int
    n: int
    u: Tensor  # (..., d) momentum, in units of steps


@dataclass(frozen=True)
class HeavyBall:
    """What the rules with one momentum have in common: step size, factor, and a momentum that begins at zero."""

    lr: float | Tensor
    momentum: float | Tensor = 0.9
    batched: ClassVar[tuple[str, ...]] = ("lr", "momentum")

    def __post_init__(self):
        positive("lr", self.lr)
        inside("momentum", self.momentum, 0.0, 1.0, open_high=True)

    def init(self, x0: Tensor, n: int) -> MomentumState:
        return MomentumState(x0, 0, n, torch.zeros_like(x0))


@dataclass(frozen=True)
class NaiveMomentum(HeavyBall):
    """Heavy-ball momentum fed with whatever arrives: u <- beta u + lr g, x <- x - u.

    Source: the naive baseline of arXiv:2407.19234; its form is our reading.
    """

    def receive(self, s: MomentumState, a: Arrival) -> MomentumState:
        u = self.momentum * s.u + self.lr * a.grad
        return MomentumState(s.x - u, s.k + 1, s.n, u)


@dataclass(frozen=True)
class SMEGA2(NaiveMomentum):
    """Naive momentum whose workers read ahead: they get x - (beta + ... + beta^(n-1)) u, where the momentum alone will have carried x.

    n - 1 is the mean delay, the number of updates that the momentum will make before the gradient is back.
    Source: Cohen, Hakimi and Schuster 2022, SMEGA2, a single momentum buffer with look-ahead; the exact form is our reading.
    """

    def read(self, s: MomentumState, worker: int) -> Tensor:
        """The model that `worker` is sent."""
        if s.n not in self._reach:
            self._reach[s.n] = sum(power(self.momentum, j) for j in range(1, s.n))
        return s.x - self._reach[s.n] * s.u

    @cached_property
    def _reach(self) -> dict[int, float | Tensor]:
        """n -> beta + ... + beta^(n-1), worked out once: for a batch of runs that is more work than all else that a step takes."""
        return {}


class ShiftedState(NamedTuple):
    x: Tensor
    k: int
    n: int
    u: tuple[Tensor, ...]  # each worker's momentum, (..., d)


@dataclass(frozen=True)
class ShiftedMomentum(HeavyBall):
    """Momentum as old as the gradient: u_i <- beta u_i + lr g_i, x <- x - u_i, with u_i the momentum when worker i last read.

    Source: Giladi, Nacson, Hoffer and Soudry 2020, shifted momentum, u_{t+1} = beta u_{t-delay} + lr g(x_{t-delay}); our reading: the
    momentum of the update that the worker's model came from is kept for it at the server.
    """

    def init(self, x0: Tensor, n: int) -> ShiftedState:
        return ShiftedState(x0, 0, n, (torch.zeros_like(x0),) * n)

    def receive(self, s: ShiftedState, a: Arrival) -> ShiftedState:
        u = self.momentum * s.u[a.worker] + self.lr * a.grad
        return ShiftedState(s.x - u, s.k + 1, s.n, put(s.u, a.worker, u))
