"""Intervals over seeds: what a handful of repetitions says about a mean, and the slope of each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from asgd_lib.arguments import guard
from asgd_lib.checks import inside

if TYPE_CHECKING:
    from pandas import DataFrame


class Interval(NamedTuple):
    """A mean with its confidence interval; floats, or arrays of one shape."""

    mean: Any
    low: Any
    high: Any


def interval(samples: ArrayLike | DataFrame, level: float = 0.95, log: bool = False) -> Interval:
    """Student's t interval of the mean, mean +- t_{(1 + level)/2, S-1} s / sqrt(S), from S >= 2 samples along axis 0.

    With `log` it is taken of the logarithms (samples > 0) and carried back: the interval of the geometric mean.
    `samples` (S,) gives floats, (S, m) gives arrays (m,). The samples must be independent (seeds, not checkpoints of one
    run); for S below about 5 it leans on the samples being roughly normal. ValueError for S < 2, for samples that are
    not finite, and for samples <= 0 with `log`.
    """
    values = np.asarray(samples, dtype=float)
    if values.ndim == 0 or values.shape[0] < 2:
        raise ValueError(f"An interval over seeds needs at least 2 samples; got shape {values.shape}. Run more seeds.")
    inside("level", level, 0.0, 1.0, open_low=True, open_high=True)
    if not np.isfinite(values).all():
        raise ValueError("An interval needs finite samples; got nan or inf (a run that diverged?). Claim.check takes them.")
    if log and (values <= 0).any():
        raise ValueError(f"A geometric mean needs samples above 0; the smallest is {values.min():g}.")
    scaled = np.log(values) if log else values
    n_seeds = len(scaled)
    centre = scaled.mean(axis=0)
    half = stdtrit(n_seeds - 1, (1 + level) / 2) * scaled.std(axis=0, ddof=1) / np.sqrt(n_seeds)
    ends = (np.exp(end) if log else end for end in (centre, centre - half, centre + half))
    # Equal samples are their own mean, to the last bit: rounding must not carry them over a threshold.
    equal = (values == values[0]).all(axis=0)
    ends = (np.where(equal, values[0], end) for end in ends)
    return Interval(*(float(end) if end.ndim == 0 else end for end in ends))


def slope(x: ArrayLike, y_by_seed: ArrayLike | DataFrame) -> np.ndarray:
    """The least-squares slope of log y against log x, seed by seed: x (m,), y (S, m) -> (S,), the samples of a claim.

    A power law y ~ x^p has slope p. A seed with nan or inf (a run that diverged) has slope nan, so that no verdict can
    overlook it. ValueError for fewer than two different x, for x <= 0 and for y <= 0.
    """
    across, values = np.asarray(x, dtype=float), np.asarray(y_by_seed, dtype=float)
    if across.ndim != 1 or values.ndim != 2 or values.shape[1] != len(across):
        raise ValueError(f"slope needs x (m,) and y (seeds, m); got {across.shape} and {values.shape}.")
    if not (np.isfinite(across) & (across > 0)).all() or len(np.unique(across)) < 2:
        raise ValueError(f"slope needs at least two different x, all finite and above 0; got {across.tolist()}.")
    if (values <= 0).any():
        raise ValueError(f"A log-log slope needs y above 0; the smallest is {np.nanmin(values):g}.")
    measured = np.isfinite(values).all(axis=1)
    away = np.log(across) - np.log(across).mean()
    slopes = np.full(len(values), np.nan)
    slopes[measured] = np.log(values[measured]) @ away / (away @ away)
    return slopes


guard(__name__)
