"""Clusters whose workers never change their speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asgd_lib.checks import count, positive
from asgd_lib.clusters.base import Clock, per_worker

_MOST = 1_000_000  # workers: they lie in memory side by side, and more are a slip that nothing else would tell of


@dataclass(frozen=True)
class Fixed:
    """Worker i always takes `seconds[i]` for a gradient: the fixed computation model of the time-complexity papers."""

    seconds: float | Sequence[float]

    def __post_init__(self):
        object.__setattr__(self, "seconds", per_worker("seconds", self.seconds))

    @property
    def n(self) -> int:
        return len(self.seconds)

    def clock(self, seed: int) -> Clock:
        return lambda worker, index, start: (self.seconds[worker], True)


def equal(n: int, seconds: float = 1.0) -> Fixed:
    """`n` workers of one speed."""
    return Fixed((seconds,) * count("n", n, most=_MOST))


def straggler(n: int, slowdown: float, seconds: float = 1.0) -> Fixed:
    """`n - 1` workers that take `seconds`, and a last one that takes `slowdown` times as long."""
    positive("slowdown", slowdown)
    return Fixed((seconds,) * (count("n", n, most=_MOST) - 1) + (seconds * slowdown,))


def spread(n: int, slowest: float, seconds: float = 1.0) -> Fixed:
    """`n` workers whose times rise evenly from `seconds` to `slowest` times that."""
    positive("slowest", slowest)
    steps = max(count("n", n, most=_MOST) - 1, 1)
    return Fixed(tuple(seconds * (1 + (slowest - 1) * i / steps) for i in range(n)))
