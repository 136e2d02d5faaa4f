"""Ordered momentum: a gradient enters the momentum where its place in the sequence is, not when it happens to arrive."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from asgd_lib.checks import positive
from asgd_lib.rules.base import Arrival
from asgd_lib.rules.momentum import HeavyBall, MomentumState, power


@dataclass(frozen=True)
class OrMo(HeavyBall):
    """Ordered momentum: gradients belong to buckets of n by the index of the model they read, and carry their bucket's weight.

    With t = k updates made, i = t - delay the index of the gradient's model, and e = ceil(t / n) - ceil(i / n) >= 0:

        x <- x - beta u,  u <- beta u          where n divides t - 1 (a new bucket opens)
        u <- u + beta^e lr g
        x <- x - (1 - beta^(e+1)) / (1 - beta) lr g

    So x and u depend on the set of (gradient, index), not on the order of arrival. `plain_step` is the paper's ablation, in which the last
    line is x <- x - lr g.
    Source: Shi, Yang and Li, arXiv:2407.19234, OrMo. That the bucket opens where n divides t - 1 is our reading, the one under which
    the closed form holds.
    """

    plain_step: bool = False

    def receive(self, s: MomentumState, a: Arrival) -> MomentumState:
        t, n, beta, x, u = s.k, s.n, self.momentum, s.x, s.u
        if t >= 1 and (t - 1) % n == 0:
            u = beta * u
            x = x - u
        e = _bucket(t, n) - _bucket(t - a.delay, n)
        step = self.lr_of(a.delay, n) * a.grad
        weight = 1.0 if self.plain_step else (1 - power(beta, e + 1)) / (1 - beta)
        return MomentumState(x - weight * step, t + 1, n, u + power(beta, e) * step)

    def lr_of(self, delay: int, n: int) -> float | Tensor:
        """The step size of a gradient that is `delay` updates late."""
        return self.lr


@dataclass(frozen=True)
class OrMoDA(OrMo):
    """Ordered momentum with delay-adaptive steps: lr where delay <= `threshold` n, else lr n / delay.

    Source: arXiv:2407.19234, OrMo-DA. The theory asks for any step below min(lr, 1 / (4 L delay)) beyond 2 n; both the constant 2 and
    the rule n / delay, which needs no L, are our reading.
    """

    threshold: float = 2.0

    def __post_init__(self):
        super().__post_init__()
        positive("threshold", self.threshold)

    def lr_of(self, delay: int, n: int) -> float | Tensor:
        return self.lr if delay <= self.threshold * n else self.lr * (n / delay)


def _bucket(index: int, n: int) -> int:
    return -(-index // n)
