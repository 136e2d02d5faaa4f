"""How one method stands among the others: scenario by scenario its rank, and its time over that of the best of the others."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from asgd_lib.comparison.profiles import SCENARIO, outcomes_of, ranking, samples, seconds
from asgd_lib.intervals import interval


def standing(table: pd.DataFrame, method: str, level: float = 0.95) -> pd.DataFrame:
    """One row a scenario of a table of `compare`: how `method` did against the best of the others.

    Columns: `problem, split, cluster`, the `rank` by the median time to target (1 is best, nan is never), how many seeds `arrived`, the
    `outcome` of most, the median `seconds`, these over the least median of all (`over_best`, as in `profiles.ratios`), the step size `lr`
    and whether it is at the grid's `edge`, the best of the others (`rival`: the least median among those that arrive with every seed, and
    among all where nobody does), how many seeds `rival_arrived` with, and `ratio`, the time to target over the rival's: a geometric mean
    over seeds with its Student t interval `low`, `high`. It is inf where the method does not arrive with every seed, and nan where nobody
    else does. The rival is the luckiest of many on these very seeds, which favours it.

    Raises ValueError where the table has not got the method, or nobody else.
    """
    times, what = seconds(table), outcomes_of(table)
    arrive = np.isfinite(table["seconds"]).groupby([table[name] for name in (*SCENARIO, "method")])
    arrivals, always = arrive.sum(), arrive.all()
    if method not in times or times.shape[1] < 2:
        raise ValueError(f"The table has {', '.join(times)}; to see how {method!r} stands, it must be one of two or more.")
    rows = []
    for key in times.index:
        where = dict(zip(SCENARIO, key, strict=True))
        others = times.loc[key].drop(method)
        arrived, sure = arrivals.loc[key], others[always.loc[key][others.index]]
        rival, mine = (others if sure.empty else sure).idxmin(), times.loc[key, method]
        rank = 1 + int((others < mine).sum()) if math.isfinite(mine) else math.nan
        lr, edge = (samples(table, method, column, **where)[0] for column in ("lr", "edge"))
        rows.append(
            (
                *key,
                rank,
                int(arrived[method]),
                what.loc[key, method],
                mine,
                mine / times.loc[key].min() if math.isfinite(mine) else math.inf,
                lr,
                bool(edge),
                rival,
                int(arrived[rival]),
                *_ratio(samples(table, method, **where), samples(table, rival, **where), level),
            )
        )
    columns = [*SCENARIO, "rank", "arrived", "outcome", "seconds", "over_best", "lr", "edge", "rival", "rival_arrived", "ratio"]
    return pd.DataFrame(rows, columns=[*columns, "low", "high"])


def place(table: pd.DataFrame, method: str, factor: float = 2.0) -> tuple[int, int, float]:
    """The method's place by the share of scenarios in which it is within `factor` of the best, how many share that place, and the share."""
    near = ranking(table, factor)["near"]
    return 1 + int((near > near[method] + 1e-12).sum()), int((near - near[method]).abs().lt(1e-12).sum()), float(near[method])


def others_alike(table: pd.DataFrame, row: tuple) -> int:
    """How many of the others come to the same `outcome`, in the scenario of a row of `standing`."""
    what = outcomes_of(table).loc[tuple(getattr(row, name) for name in SCENARIO)]
    return int((what == row.outcome).sum()) - 1


def _ratio(mine: np.ndarray, theirs: np.ndarray, level: float) -> tuple[float, float, float]:
    """Geometric mean of the paired ratios, and the ends of its interval; inf or nan where a seed has no time."""
    if not np.isfinite(theirs).all():
        return (math.nan,) * 3
    if not np.isfinite(mine).all():
        return (math.inf,) * 3
    if len(mine) < 2:
        return float(mine[0] / theirs[0]), math.nan, math.nan
    return tuple(interval(mine / theirs, level, log=True))
