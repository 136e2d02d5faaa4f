"""What became of a run: when it reached the target to stay, or why it did not."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asgd_lib.checks import choice
from asgd_lib.history import measured

OUTCOMES = {
    "reached": "at or below the target, and for a while",
    "diverged": "the loss grew without bound, and the target had not been reached before",
    "stalled": "no update in the last quarter of the time",
    "levelled off": "on the way to a level above the target",
    "too slow": "on the way to the target when time was up",
}
"""What a run may have come to, in words."""


class Outcome(NamedTuple):
    """One run's score. `seconds` is inf unless it reached the target; `level` is the mean metric of the last quarter, over the target."""

    seconds: float
    outcome: str
    level: float


def first_to_hold(time: NDArray, value: NDArray, target: float, hold: float, until: float) -> float:
    """The first checkpoint (s) from which `value` stays at or below `target` for `hold` seconds; inf where there is none.

    `time` (s) and `value` are (checkpoints,); between checkpoints, and after the last one, the value is the last measured one. A stretch
    counts if it ends at `until` (s) or before, so that the answer, where finite, is that of any longer run.
    """
    above = ~(value <= target)
    spoilt = np.minimum.accumulate(np.where(above, time, math.inf)[::-1])[::-1]
    good = ~above & (spoilt > time + hold) & (time + hold <= until)
    return float(time[good.argmax()]) if good.any() else math.inf


def outcome(time: NDArray, value: NDArray, updates: NDArray, diverged: bool, target: float, hold: float, until: float) -> Outcome:
    """What one run came to in `until` seconds; its columns are those of a history, checkpoint by checkpoint.

    The last value of a run that `diverged` counts as above the target. A run that had come to stay before that has reached it: a shorter
    run would not know how it goes on.
    """
    known = np.append(value[:-1], math.inf) if diverged else value
    seconds = first_to_hold(time, known, target, hold, until)
    if math.isfinite(seconds):
        return Outcome(seconds, "reached", math.nan)
    if diverged:
        return Outcome(math.inf, "diverged", math.inf)
    quarters = [_mean_between(time, value, share * until, (share + 0.25) * until) for share in (0.25, 0.5, 0.75)]
    if updates[np.searchsorted(time, 0.75 * until, "right") - 1] == updates[-1]:
        why = "stalled"
    else:
        why = "levelled off" if limit(*quarters) > target else "too slow"
    return Outcome(math.inf, why, quarters[-1] / target)


def limit(first: float, second: float, third: float) -> float:
    """Where three equally spaced values lead if what is left shrinks geometrically (Aitken's extrapolation).

    The third one where it is no smaller than the second, and -inf where the fall does not slow down.
    """
    before, after = second - first, third - second
    if after >= 0:
        return third
    return third - after**2 / (after - before) if after > before else -math.inf


def _mean_between(time: NDArray, value: NDArray, start: float, end: float) -> float:
    """The mean over [start, end] (s) of a value that stays as it is until its next checkpoint."""
    inside = (time > start) & (time < end)
    edges = np.concatenate([[start], time[inside], [end]])
    first = value[np.searchsorted(time, start, "right") - 1]
    return float(np.diff(edges) @ np.concatenate([[first], value[inside]]) / (end - start))


def outcomes(history: pd.DataFrame, metric: str, target: float, hold: float, until: float, every: int) -> pd.DataFrame:
    """One row a run, `method, lr, seed, seconds, outcome, level`, from a history that was evaluated every `every` arrivals for `until` s.

    A checkpoint off that grid, at the end of the run, is left out: a longer run would not have it. ValueError for an unknown metric.
    """
    choice("metric", metric, measured(history))
    rows = history[(history["arrivals"] % every == 0) | (history["status"] == "diverged")]
    columns = [rows[name].to_numpy() for name in ("time", metric, "updates")]
    run = rows["run"].to_numpy()
    starts = np.flatnonzero(np.diff(run, prepend=-1))
    heads = rows.iloc[starts][["method", "lr", "seed", "status"]].reset_index(drop=True)
    scores = [
        outcome(*(column[a:b] for column in columns), status == "diverged", target, hold, until)
        for a, b, status in zip(starts, [*starts[1:], len(run)], heads["status"], strict=True)
    ]
    return pd.concat([heads.drop(columns="status"), pd.DataFrame(scores)], axis=1)
