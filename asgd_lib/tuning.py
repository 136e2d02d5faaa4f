"""The best step size of every method of a sweep, with its interval over seeds."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from asgd_lib.arguments import guard
from asgd_lib.history import at_best_lr, best_lr, final, time_to
from asgd_lib.intervals import interval


def tuned(table: pd.DataFrame, metric: str = "loss", target: float | None = None, *, largest: bool = False) -> pd.DataFrame:
    """One row per cluster, problem and method of a sweep: `lr`, `value`, `low`, `high`, `seeds`, `edge`.

    `value` is the mean over seeds at the best step size of the metric at the last checkpoint or, given a `target`, of the simulated
    seconds until the metric first reaches it; `low` and `high` are the ends of its 95 % Student t interval, nan for a single seed or where
    a run diverged. Lower is better unless `largest`. A best value at the end of its grid of step sizes (`edge`) is warned of: the method is
    not known to be tuned.
    """
    cells = [name for name in ("cluster", "problem") if name in table]
    rows = []
    for labels, part in table.groupby(cells, sort=False) if cells else [((), table)]:
        scores = final(part, metric) if target is None else time_to(part, target, metric, rising=largest)
        best = best_lr(scores, largest=largest and target is None)
        values = at_best_lr(scores, best).groupby("method", sort=False)["value"]
        for row, (_, seeds) in zip(best.itertuples(), [(m, values.get_group(m).to_numpy()) for m in best["method"]], strict=True):
            whole = len(seeds) > 1 and np.isfinite(seeds).all()
            low, high = interval(seeds)[1:] if whole else (np.nan, np.nan)
            rows.append((*labels, row.method, row.lr, row.value, low, high, len(seeds), row.edge))
    best = pd.DataFrame(rows, columns=[*cells, "method", "lr", "value", "low", "high", "seeds", "edge"])
    at_edge = best.loc[best["edge"], "method"].unique()
    if len(at_edge):
        warnings.warn(
            f"The best step size of {', '.join(at_edge)} is the smallest or largest of its grid: widen the grid before you compare.",
            stacklevel=3,
        )
    return best


guard(__name__)
