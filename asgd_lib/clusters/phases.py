"""Clusters whose workers change with time: fast and slow phases, departures and returns."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from asgd_lib.checks import positive
from asgd_lib.clusters.base import Clock, Cluster, per_worker, uniforms, without_network


@dataclass(frozen=True)
class Switching:
    """Workers that alternate between a fast and a slow phase of `period` seconds each.

    A gradient is one unit of work, done at rate 1/fast[i] in the fast phase and 1/slow[i] in the slow one; a job that crosses a switch
    changes its speed there. With `stagger`, worker i is i/n of a cycle ahead, so that somebody is always slow; without it, all switch
    together.
    """

    fast: float | Sequence[float]
    slow: float | Sequence[float]
    period: float = 10.0
    stagger: bool = True

    def __post_init__(self):
        object.__setattr__(self, "fast", per_worker("fast", self.fast))
        object.__setattr__(self, "slow", per_worker("slow", self.slow, self.n))
        positive("period", self.period)

    @property
    def n(self) -> int:
        return len(self.fast)

    def clock(self, seed: int) -> Clock:
        def job(worker: int, index: int, start: float) -> tuple[float, bool]:
            rates = (1.0 / self.fast[worker], 1.0 / self.slow[worker])
            shift = 2.0 * self.period * worker / self.n if self.stagger else 0.0
            whole, phase = divmod(start + shift, self.period)
            odd = int(whole) % 2
            left, seconds = 1.0, 0.0
            room = self.period - phase
            cycles = math.floor(max(0.0, left - room * rates[odd]) / (self.period * sum(rates)))
            while left > room * rates[odd]:
                left -= room * rates[odd]
                seconds += room
                odd, room = 1 - odd, self.period
                if cycles:
                    left -= cycles * self.period * sum(rates)
                    seconds += cycles * 2.0 * self.period
                    cycles = 0
            return seconds + left / rates[odd], True

        return job


@dataclass(frozen=True)
class Dropout:
    """Workers of `base` that leave and come back: exponential stays of mean `up` and absences of mean `down` seconds.

    A job that its worker leaves behind is lost; the loss is known when the worker is back, and the policy then decides what it does next.
    A job handed to an absent worker waits for its return. `down = inf`: who leaves does not come back.
    """

    base: Cluster
    up: float
    down: float

    def __post_init__(self):
        without_network(self.base)
        positive("up", self.up)
        if self.down != math.inf:
            positive("down", self.down)

    @property
    def n(self) -> int:
        return self.base.n

    def clock(self, seed: int) -> Clock:
        compute = self.base.clock(seed)
        draw = uniforms(seed, "dropout")
        leaves: list[list[float]] = [[] for _ in range(self.n)]
        returns: list[list[float]] = [[] for _ in range(self.n)]

        def absences(worker: int, until: float) -> None:
            gone, back = leaves[worker], returns[worker]
            while not back or back[-1] <= until:
                stay = -self.up * math.log1p(-draw(worker, 2 * len(gone)))
                away = -self.down * math.log1p(-draw(worker, 2 * len(gone) + 1))
                gone.append((back[-1] if back else 0.0) + stay)
                back.append(gone[-1] + away)

        def job(worker: int, index: int, start: float) -> tuple[float, bool]:
            absences(worker, start)
            k = bisect_right(leaves[worker], start) - 1
            begin = returns[worker][k] if k >= 0 and returns[worker][k] > start else start
            if begin == math.inf:
                return math.inf, False
            absences(worker, begin)
            k = bisect_right(leaves[worker], begin)
            seconds, delivered = compute(worker, index, begin)
            if delivered and begin + seconds <= leaves[worker][k]:
                return begin - start + seconds, True
            return returns[worker][k] - start, False

        return job
