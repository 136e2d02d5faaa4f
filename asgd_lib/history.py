"""The tidy table of what happened, and the questions one asks of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from asgd_lib.arguments import guard
from asgd_lib.checks import choice, columns, inside
from asgd_lib.final_models import FinalModels

COLUMNS = ("run", "method", "lr", "seed", "time", "arrivals", "updates", "used", "rounds", "bytes")
"""Before the metrics; `status` comes after them. `time` is in seconds; `bytes` have crossed the network so far, in both directions."""
COUNTS = COLUMNS[5:]


class History:
    """Collects the checkpoints of batches of runs, then gives the table."""

    def __init__(self, runs: Sequence[tuple[str, float, int]]):
        self._runs = pd.DataFrame(list(runs), columns=["method", "lr", "seed"])
        self._looks: list[tuple[NDArray, list[float], Mapping[str, NDArray]]] = []  # of the batch under way
        self._parts: list[dict[str, np.ndarray]] = []  # one entry a batch; a DataFrame a checkpoint would cost more than many arrivals
        self._x: dict[int, Tensor] = {}
        self._status = np.full(len(runs), "done", dtype=object)

    def add(self, alive: NDArray, time: float, counts: Mapping[str, int], metrics: Mapping[str, NDArray]) -> None:
        """One checkpoint of a batch, `alive` (R,) its runs that count: `counts` holds COUNTS, each metric is (R,); arrays are kept."""
        self._looks.append((alive, [time, *(counts[name] for name in COUNTS)], metrics))

    def end(self, runs: Sequence[int], x: Tensor, status: np.ndarray) -> None:
        """The numbers of the runs in the batch that was under way, their last models (R, d), and how each of them ended."""
        alive = np.stack([look[0] for look in self._looks], 1)  # (R, checkpoints): run by run is the order of the table
        same = zip(("time", *COUNTS), np.array([look[1] for look in self._looks]).T, strict=True)
        part = {"run": np.asarray(runs)[:, None]} | dict(same)
        part |= {name: np.stack([look[2][name] for look in self._looks], 1).astype(float) for name in self._looks[0][2]}
        self._parts.append({name: np.broadcast_to(column, alive.shape)[alive] for name, column in part.items()})
        self._looks = []
        self._x.update(zip(runs, x, strict=True))
        self._status[list(runs)] = status

    def frame(self) -> pd.DataFrame:
        """One row per (run, checkpoint); the last models, in run order, are on `attrs["x"]`."""
        columns = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        order = np.argsort(columns["run"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        columns |= {name: columns[name].astype(np.int64) for name in COUNTS}
        columns |= {name: column.array.take(columns["run"]) for name, column in self._runs.items()}
        metrics = [name for name in columns if name not in COLUMNS]
        table = pd.DataFrame({name: columns[name] for name in (*COLUMNS, *metrics)})
        table["status"] = self._status[table["run"]]
        table.attrs["x"] = torch.stack([self._x[r] for r in range(len(self._runs))]).as_subclass(FinalModels)
        return table


def concat(histories: Mapping[str, pd.DataFrame] | Sequence[pd.DataFrame], label: str = "part") -> pd.DataFrame:
    """Histories one below the other, runs renumbered; the keys of a mapping become the column `label`. Models are left behind."""
    items = histories.items() if isinstance(histories, Mapping) else ((None, h) for h in histories)
    parts, first = [], 0
    if not len(histories):
        raise ValueError("There is no history to put below another: give at least one.")
    for name, history in items:
        part = history.copy()
        part.attrs = {}
        part["run"] += first
        first = int(part["run"].max()) + 1
        if name is not None:
            part.insert(0, label, name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def final(history: pd.DataFrame, metric: str = "loss", *, last: float = 0.0) -> pd.DataFrame:
    """One row a run, `run, method, lr, seed, status, value`: the metric at its last checkpoint.

    With `last` = 0.2, the mean over the last fifth of the arrivals instead. A run that diverged has the value inf.
    """
    rows = _bare(history, "run", "method", "lr", "seed", "arrivals", "status")
    choice("metric", metric, measured(rows))
    keep = rows["arrivals"] >= (1 - last) * rows.groupby("run")["arrivals"].transform("max")
    table = rows[keep].groupby("run", sort=True).agg(
        method=("method", "first"), lr=("lr", "first"), seed=("seed", "first"), status=("status", "first"), value=(metric, "mean")
    ).reset_index()  # fmt: skip
    table.loc[table["status"] == "diverged", "value"] = np.inf
    return table


def time_to(history: pd.DataFrame, target: float, metric: str = "loss", *, clock: str = "time", rising: bool = False) -> pd.DataFrame:
    """One row a run, `run, method, lr, seed, status, value`: the clock at the first checkpoint with metric <= target (>= with `rising`).

    `clock` is "time" (s), "arrivals" or "updates"; inf where the target is never reached.
    """
    rows = _bare(history, "run", "method", "lr", "seed", "status")
    choice("metric", metric, measured(rows))
    choice("clock", clock, measured(rows))
    hit = rows[metric] >= target if rising else rows[metric] <= target
    table = rows.groupby("run", sort=True)[["method", "lr", "seed", "status"]].first().reset_index()
    first = rows[hit].groupby("run")[clock].first().astype(float)
    table["value"] = table["run"].map(first).fillna(np.inf)
    return table


def running_mean(history: pd.DataFrame, metric: str = "grad_norm_sq", *, clock: str = "updates") -> pd.DataFrame:
    """The history with a column `mean_<metric>`: its average since the start over the steps of `clock`, by trapezoids between checkpoints.

    Convergence theorems bound the average (1/T) sum_{t<T} E|grad F(x_t)|^2, T = `updates`, and not the last value. Where the clock has not
    moved yet (no update), the average is the metric itself.
    """
    table = _bare(history, "run")
    choice("metric", metric, measured(table))
    choice("clock", clock, measured(table))
    runs = table.groupby("run")
    step = runs[clock].diff().fillna(0.0)
    between = (0.5 * (table[metric] + runs[metric].shift())).fillna(0.0)
    area = (between * step).groupby(table["run"]).cumsum()
    passed = table[clock] - runs[clock].transform("first")
    table[f"mean_{metric}"] = np.where(passed > 0, area / passed.where(passed > 0, 1.0), table[metric])
    return table


def best_lr(scores: pd.DataFrame, *, largest: bool = False) -> pd.DataFrame:
    """One row a method, `method, lr, value, edge`: the step size with the best mean score over seeds.

    `scores`: a table of `final` or `time_to`. Lower is better unless `largest`. `edge` says that the best lies at the end of the grid, so
    that the method is not known to be tuned. A step size with one diverged seed counts as diverged.
    Raises ValueError for two scores of one method at one step size and seed: those of different problems or clusters have no common best.
    """
    sign = -1.0 if largest else 1.0
    table = _bare(scores, "method", "lr", "seed", "value")
    twice = table[table.duplicated(["method", "lr", "seed"])]
    if len(twice):
        method, lr, seed = twice.iloc[0][["method", "lr", "seed"]]
        raise ValueError(
            f"Method {method!r} has several scores at lr = {lr:g} and seed {seed}. Tune each history by itself, or give the method of each "
            "a name of its own before concat: history.assign(method=label)."
        )
    table["value"] = np.where(np.isfinite(table["value"]), sign * table["value"], np.inf)
    means = table.groupby(["method", "lr"], sort=True)["value"].mean().reset_index()
    best = []
    for method, rows in means.groupby("method", sort=False):
        i = int(rows["value"].to_numpy().argmin())
        best.append((method, rows["lr"].iloc[i], sign * rows["value"].iloc[i], len(rows) > 1 and i in (0, len(rows) - 1)))
    order = {m: i for i, m in enumerate(dict.fromkeys(scores["method"]))}
    table = pd.DataFrame(best, columns=["method", "lr", "value", "edge"])
    return table.sort_values("method", key=lambda c: c.map(order), ignore_index=True)


def at_best_lr(history: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """The rows of `history` (or of a score table) at each method's step size in `best`."""
    rows, best = _bare(history, "method", "lr"), _bare(best, "method", "lr")
    lr = dict(zip(best["method"], best["lr"], strict=True))
    return rows[[lr.get(m) == v for m, v in zip(rows["method"], rows["lr"], strict=True)]].reset_index(drop=True)


def samples(scores: pd.DataFrame, methods: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Scores by method, in order of seed: arrays that pair across methods."""
    table = _bare(scores, "method", "seed", "value").sort_values("seed", kind="stable")
    names = list(dict.fromkeys(scores["method"])) if methods is None else list(methods)
    return {m: table.loc[table["method"] == m, "value"].to_numpy() for m in names}


def tuned_final(history: pd.DataFrame, metric: str = "loss", *, arrivals: float = np.inf) -> np.ndarray:
    """(S,) the last `metric`, after at most `arrivals`, of each seed of one method at the step size whose mean is then the lowest."""
    inside("arrivals", arrivals, 0.0, np.inf)
    columns("table", history, "arrivals")
    scores = final(history[history["arrivals"] <= arrivals], metric)
    return at_best_lr(scores, best_lr(scores)).sort_values("seed")["value"].to_numpy()


def tuned_time_to(
    histories: Mapping[str, pd.DataFrame], target: float, metric: str = "loss", *, clock: str = "time", rising: bool = False
) -> tuple[dict[str, np.ndarray], pd.DataFrame, list[str]]:
    """What each of several histories, swept over step sizes, needs to reach one target when each has its own best step size.

    Returns label -> clock at the target (S,), seed by seed; the histories at those step sizes, with the labels in the column `method`; and
    the labels that are not tuned, because the best lies at the end of its grid or no step size reached the target with every seed.
    """
    runs = concat([history.assign(method=label) for label, history in histories.items()])
    scores = time_to(runs, target, metric, clock=clock, rising=rising)
    best = best_lr(scores)
    untuned = best["method"][best["edge"] | np.isinf(best["value"])].tolist()
    return samples(at_best_lr(scores, best), histories), at_best_lr(runs, best), untuned


def stable_lr(history: pd.DataFrame, metric: str = "gap") -> tuple[float, float]:
    """The neighbouring step sizes (stable, unstable) of a sweep without noise between which `metric` begins to grow.

    Stable: in every run the mean of `metric` over the last quarter of the checkpoints is at most that over the second one, so that
    oscillations average out, or below 1e-24 of its first value, where a converged run is nothing but rounding. A diverged run is not
    stable. Sweep again between the two for more digits.
    Raises ValueError where the smallest step size is unstable or all are stable: the border is not on the grid.
    """
    rows = _bare(history, "run", "lr", "arrivals", "status")
    choice("metric", metric, measured(rows))
    share = rows["arrivals"] / rows["arrivals"].max()
    early = rows[(share >= 0.25) & (share < 0.5)].groupby("run")[metric].mean()
    late = rows[share >= 0.75].groupby("run")[metric].mean()
    rounding = 1e-24 * rows.groupby("run")[metric].first()
    runs = rows.groupby("run")[["lr", "status"]].first()
    stable = (late.reindex(runs.index) <= np.maximum(early.reindex(runs.index), rounding)) & (runs["status"] != "diverged")
    by_lr = stable.groupby(runs["lr"]).all()
    first = int((~by_lr).to_numpy().argmax())
    if by_lr.all():
        raise ValueError(f"Every step size of the sweep, up to {by_lr.index[-1]:g}, is stable: try larger ones.")
    if first == 0:
        raise ValueError(f"The smallest step size of the sweep, {by_lr.index[0]:g}, is unstable: try smaller ones.")
    return float(by_lr.index[first - 1]), float(by_lr.index[first])


def measured(rows: pd.DataFrame) -> list[str]:
    """The columns that hold clocks, counts and metrics, the caller's own included."""
    return [c for c in rows if c not in (*COLUMNS[:4], "status")]


def _bare(table: pd.DataFrame, *needed: str) -> pd.DataFrame:
    """A copy without `attrs`, which pandas would copy again at every step; ValueError where a column that is `needed` is missing."""
    columns("table", table, *needed)
    bare = table.copy()
    bare.attrs = {}
    return bare


guard(__name__)
