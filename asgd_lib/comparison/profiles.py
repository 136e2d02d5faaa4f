"""What a contest says: performance profiles, a ranking, and a table to choose by. Everything reads the table of `compare`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asgd_lib.arguments import guard
from asgd_lib.checks import columns, positive
from asgd_lib.comparison.outcomes import OUTCOMES

SCENARIO = ["problem", "split", "cluster"]
FAILURES = tuple(OUTCOMES)[1:]
_TIMED = (*SCENARIO, "method", "seconds")


def selected(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """The rows whose columns have these values, or one of these where a list is given; ValueError where there are none."""
    rows = table
    columns("table", table, *where)
    for column, value in where.items():
        rows = rows[rows[column].isin(value if isinstance(value, (list, tuple, set)) else [value])]
    if rows.empty:
        raise ValueError(f"The table has no row with {', '.join(f'{column} = {value!r}' for column, value in where.items())}.")
    return rows


def samples(table: pd.DataFrame, method: str, column: str = "seconds", **where: Any) -> NDArray:
    """(S,) one value a judging seed, in order of seed, of one method in one scenario; ValueError where `where` leaves more than one."""
    columns("table", table, "method", "seed", column)
    rows = selected(table, method=method, **where).sort_values("seed")
    if rows["seed"].duplicated().any():
        raise ValueError(f"{method!r} has several scenarios there: name problem, split and cluster.")
    return rows[column].to_numpy()


def versus(table: pd.DataFrame, method: str, other: str, **where: Any) -> NDArray:
    """(S,) seconds to target of `method` over those of `other`, seed by seed: inf where only `other` is there, nan where neither is."""
    with np.errstate(invalid="ignore"):
        return samples(table, method, **where) / samples(table, other, **where)


def share_reached(table: pd.DataFrame, method: str, **where: Any) -> NDArray:
    """(S,) share of the scenarios selected in which the method reached the target, seed by seed."""
    columns("table", table, "method", "seed", "outcome")
    rows = selected(table, method=method, **where)
    return (rows["outcome"] == "reached").groupby(rows["seed"]).mean().to_numpy()


def seconds(table: pd.DataFrame) -> pd.DataFrame:
    """Scenarios x methods: the median over seeds of the time to target, inf where half of the seeds or more were never there.

    The median of an even number of seeds is the upper one of the two in the middle.
    """
    columns("table", table, *_TIMED)
    middle = table.groupby([*SCENARIO, "method"], sort=False)["seconds"].agg(lambda s: np.sort(s.to_numpy())[len(s) // 2])
    wide = middle.unstack("method")
    rows = table[SCENARIO].drop_duplicates().itertuples(index=False, name=None)
    return wide.loc[list(rows), list(dict.fromkeys(table["method"]))]


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """Scenarios x methods: time over the least of the scenario (r of Dolan and More); inf for whoever is never there, even if nobody is."""
    best = times.min(axis=1)
    return times.div(best.where(np.isfinite(best), 1.0), axis=0)


def profile(ratio: pd.DataFrame, factors: Any) -> pd.DataFrame:
    """Factors x methods: the share of scenarios in which a method is within each factor of the best, rho(tau) = #{s: r_s <= tau} / #s.

    Source: Dolan and More 2002, performance profiles. Raises ValueError for factors that are no positive numbers.
    """
    positive("factors", factors)
    at = np.atleast_1d(np.asarray(factors, dtype=float))
    shares = [(ratio <= factor * (1 + 1e-12)).mean() for factor in at]
    return pd.DataFrame(shares, index=pd.Index(at, name="factor"))


def by_seed(table: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Seeds x methods: the share of scenarios in which, with that seed, a method is within `factor` of the best."""
    columns("table", table, "seed")
    rows = {seed: profile(ratios(seconds(part)), factor).iloc[0] for seed, part in table.groupby("seed")}
    return pd.DataFrame(rows).T.rename_axis("seed")


def outcomes_of(table: pd.DataFrame) -> pd.DataFrame:
    """Scenarios x methods: what most seeds came to, "reached" exactly where `seconds` is finite; of equals the first of FAILURES."""
    columns("table", table, *_TIMED, "outcome")
    order = {name: i for i, name in enumerate(FAILURES)}

    def most(column: pd.Series) -> str:
        counts = column.value_counts()
        failed = counts.drop("reached", errors="ignore")
        if counts.get("reached", 0) > len(column) // 2:
            return "reached"
        return min(failed.index, key=lambda name: (-failed[name], order[name]))

    wide = table.groupby([*SCENARIO, "method"], sort=False)["outcome"].agg(most).unstack("method")
    like = seconds(table)
    return wide.loc[like.index, like.columns]


def ranking(table: pd.DataFrame, factor: float = 2.0) -> pd.DataFrame:
    """One row a method, best first: `first` (share of scenarios in which it is the fastest), `near` (within `factor`), `reached`, and how
    often it failed by each of FAILURES; `edge` counts scenarios whose best step size is at the end of the grid."""
    ratio, what = ratios(seconds(table)), outcomes_of(table)
    shares = profile(ratio, [1.0, factor])
    rows = pd.DataFrame({"first": shares.iloc[0], "near": shares.iloc[1], "reached": np.isfinite(ratio).mean()})
    for name in FAILURES:
        rows[name] = (what == name).sum()
    edges = table.drop_duplicates([*SCENARIO, "method"]).groupby("method")["edge"].sum()
    rows["edge"] = edges.reindex(rows.index).astype(int)
    return rows.sort_values(["near", "reached", "first"], ascending=False, kind="stable")


def guide(table: pd.DataFrame, take: float = 1.25, most: int = 5) -> pd.DataFrame:
    """One row a scenario: the least `seconds`, up to `most` methods within `take` times that (`take`), and, failure by failure, how many of
    the others fail, and the methods that do."""
    times, what = seconds(table), outcomes_of(table)
    ratio, rows = ratios(times), []
    for key in ratio.index:
        good = ratio.loc[key].sort_values(kind="stable")
        near = [f"{name} {value:.2f}" for name, value in good.items() if value <= take]
        shown = ", ".join(near[:most]) + (f" and {len(near) - most} more" if len(near) > most else "")
        failed = {name: [m for m, why in what.loc[key].items() if why == name] for name in FAILURES}
        rows.append((*key, float(times.loc[key].min()), shown or "nobody", *(", ".join(failed[name]) for name in FAILURES)))
    return pd.DataFrame(rows, columns=[*SCENARIO, "seconds", "take", *FAILURES])


def wins_and_failures(table: pd.DataFrame, methods: Sequence[str] | None = None, factor: float = 1.25) -> pd.DataFrame:
    """One row a method: the scenarios in which it is within `factor` of the best, and those in which it never arrives, with the reasons.

    Scenarios are named by cluster, after the problem and split that they share: `digits iid: spread, recorded; digits one class: spread`.
    """
    ratio, what = ratios(seconds(table)), outcomes_of(table)
    rows = []
    for name in ratio.columns if methods is None else methods:
        near = _grouped((key, "") for key, value in ratio[name].items() if value <= factor)
        never = _grouped((key, f" ({what.loc[key, name]})") for key, value in ratio[name].items() if math.isinf(value))
        rows.append((name, near, never))
    return pd.DataFrame(rows, columns=["method", "near the best", "fails"])


def _grouped(keys: Iterable[tuple[tuple[str, str, str], str]]) -> str:
    """Clusters, each with its remark, behind the problem and split that they share; "nowhere" for none."""
    groups: dict[str, list[str]] = {}
    for (problem, split, cluster), remark in keys:
        groups.setdefault(f"{problem} {split}", []).append(cluster + remark)
    return "; ".join(f"{group}: {', '.join(names)}" for group, names in groups.items()) or "nowhere"


guard(__name__)
