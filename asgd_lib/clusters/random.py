"""Clusters whose every gradient takes an independent random time, each given by its quantile function.

A job's time is `quantile(worker, u)` of one uniform draw u, in plain Python arithmetic: two clusters on one seed are coupled monotonically,
and a simulated trace does not depend on the vector instructions of the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from asgd_lib.checks import non_negative
from asgd_lib.clusters.base import Clock, per_worker, uniforms

_NORMAL = NormalDist()


class _Random:
    def quantile(self, worker: int, u: float) -> float:
        raise NotImplementedError

    def clock(self, seed: int) -> Clock:
        def answer(worker: int, u: float) -> tuple[float, bool]:
            try:
                return self.quantile(worker, u), True
            except OverflowError:
                return math.inf, True

        return uniforms(seed, "compute", answer, self.n)


@dataclass(frozen=True)
class Exponential(_Random):
    """Exponential times with mean `mean[i]` seconds: the memoryless worker of queueing theory."""

    mean: float | Sequence[float]

    def __post_init__(self):
        object.__setattr__(self, "mean", per_worker("mean", self.mean))

    @property
    def n(self) -> int:
        return len(self.mean)

    def quantile(self, worker: int, u: float) -> float:
        return -self.mean[worker] * math.log1p(-u)


@dataclass(frozen=True)
class TruncatedNormal(_Random):
    """Normal times of `mean[i]` and `std[i]` seconds (before truncation), conditioned to be at least `low` seconds.

    DuDe-ASGD's experiments draw gradient times from a truncated normal; where it is truncated is our reading.
    """

    mean: float | Sequence[float]
    std: float | Sequence[float] = 1.0
    low: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "mean", per_worker("mean", self.mean))
        object.__setattr__(self, "std", per_worker("std", self.std, self.n))
        non_negative("low", self.low)
        floor = tuple(_NORMAL.cdf((self.low - m) / s) for m, s in zip(self.mean, self.std, strict=True))
        if max(floor) > 0.999:
            raise ValueError(f"low = {self.low:g} seconds cuts away over 99.9 % of a worker's normal times; lower it or raise the mean.")
        object.__setattr__(self, "_floor", floor)

    @property
    def n(self) -> int:
        return len(self.mean)

    def quantile(self, worker: int, u: float) -> float:
        p = self._floor[worker] + u * (1.0 - self._floor[worker])
        return max(self.low, self.mean[worker] + self.std[worker] * _NORMAL.inv_cdf(min(max(p, 1e-300), 1.0 - 2.0**-53)))


@dataclass(frozen=True)
class LogNormal(_Random):
    """Log-normal times with median `median[i]` seconds and log-scale spread `sigma` (0 gives `Fixed`)."""

    median: float | Sequence[float]
    sigma: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "median", per_worker("median", self.median))
        non_negative("sigma", self.sigma)

    @property
    def n(self) -> int:
        return len(self.median)

    def quantile(self, worker: int, u: float) -> float:
        return self.median[worker] * math.exp(self.sigma * _NORMAL.inv_cdf(u))


@dataclass(frozen=True)
class Pareto(_Random):
    """Heavy-tailed times, P(T > t) = (least[i] / t)**shape for t >= `least[i]` seconds; infinite mean for `shape` <= 1."""

    least: float | Sequence[float]
    shape: float = 1.5

    def __post_init__(self):
        object.__setattr__(self, "least", per_worker("least", self.least))
        object.__setattr__(self, "shape", per_worker("shape", self.shape, 1)[0])

    @property
    def n(self) -> int:
        return len(self.least)

    def quantile(self, worker: int, u: float) -> float:
        return self.least[worker] * (1.0 - u) ** (-1.0 / self.shape)


@dataclass(frozen=True)
class Uniform(_Random):
    """Times uniform between `low[i]` and `high[i]` seconds."""

    low: float | Sequence[float]
    high: float | Sequence[float]

    def __post_init__(self):
        object.__setattr__(self, "low", per_worker("low", self.low))
        object.__setattr__(self, "high", per_worker("high", self.high, self.n))
        if any(h < low for low, h in zip(self.low, self.high, strict=True)):
            raise ValueError(f"Every worker's high must be at least its low; got low = {self.low}, high = {self.high}.")

    @property
    def n(self) -> int:
        return len(self.low)

    def quantile(self, worker: int, u: float) -> float:
        return self.low[worker] + u * (self.high[worker] - self.low[worker])
