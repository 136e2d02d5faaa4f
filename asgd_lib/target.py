"""A value to reach: a run that only has to say when it is there need not go on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asgd_lib.arguments import guard
from asgd_lib.checks import choice, finite, non_negative


@dataclass(frozen=True)
class Target:
    """A run has arrived once `metric` has been at most `value` (with `rising`: at least) at every checkpoint of `hold` simulated seconds.

    With `hold = 0` the first checkpoint there is enough. ValueError for numbers that make no sense.
    """

    metric: str
    value: float
    hold: float = 0.0
    rising: bool = False

    def __post_init__(self):
        finite("value", self.value)
        non_negative("hold", self.hold)
        choice("rising", self.rising, (False, True))


class Watch:
    """Since when each of R runs has been at a target, as its checkpoints are told one after the other."""

    def __init__(self, target: Target, R: int):
        self._target = target
        self._since = np.full(R, math.inf)  # s

    def arrived(self, time: float, metrics: Mapping[str, NDArray]) -> NDArray:
        """Which runs (R,) have arrived by their checkpoint at `time` seconds, where they have `metrics`, each (R,)."""
        choice("the target's metric", self._target.metric, tuple(metrics))
        value = metrics[self._target.metric]
        there = value >= self._target.value if self._target.rising else value <= self._target.value
        self._since = np.where(there, np.minimum(self._since, time), math.inf)
        return self._since + self._target.hold <= time

    def narrow(self, kept: NDArray) -> None:
        """From now on watch the runs `kept` alone."""
        self._since = self._since[kept]


guard(__name__)
