"""A contest: every entry tuned on the same step sizes and seeds, and judged on other seeds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from asgd_lib.checks import count, inside, positive
from asgd_lib.comparison.entries import Entry
from asgd_lib.comparison.outcomes import outcomes
from asgd_lib.comparison.suite import Scenario
from asgd_lib.methods import Method
from asgd_lib.sweep import sweep
from asgd_lib.target import Target

COLUMNS = ("problem", "split", "cluster", "method", "lr", "edge", "seed", "seconds", "outcome", "level")


def compare(
    entries: Sequence[Entry],
    scenarios: Sequence[Scenario],
    lrs: Sequence[float],
    *,
    tuning_seeds: Iterable[int] = (100, 101),
    seeds: Iterable[int] = (0, 1, 2, 3, 4),
    every: int | None = None,
    first_look: float = 0.5,
    own_traces: bool = False,
    trace_seed: int = 0,
    cache: str | os.PathLike | None = None,
    jobs: int | None = 1,
) -> pd.DataFrame:
    """The time to target of every entry in every scenario, one row for each of the judging `seeds`.

    Columns: `problem, split, cluster, method, lr, edge, seed, seconds, outcome, level`. An entry's step size `lr` is the one of `lrs` whose
    slowest tuning seed reaches the target first or, where none reaches it with all tuning seeds, the one that comes to rest lowest on
    average; `edge` says that it is the least or the greatest of `lrs`, so that the entry is not known to be tuned (unless it makes no step
    at all). `seconds` (simulated) is when the metric has come to the target to stay for the scenario's `hold`, inf where that does not
    happen before its `horizon`, and whatever happens after the hold; `outcome` says what happened instead (OUTCOMES), and `level` is then
    the mean metric of the last quarter of the time, over the target.

    Runs are evaluated every `every` arrivals (default: n). All seeds of a scenario share its trace, that of `trace_seed`; with `own_traces`
    each meets its own. Entries are tuned in runs for the share `first_look` of the horizon, and only those that have no step size with
    which all seeds are there by then in runs to its end: a longer run cannot make a better step size out of one that is later. A run ends
    where it has come to stay. All this saves time and changes nothing: the table is that of `first_look=1`. `cache` is a folder as for
    `sweep`; `jobs` scenarios are computed side by side.

    Raises ValueError for no entry, no scenario, a name given twice, and seeds that are used for both tuning and judging.
    """
    chosen, judged, tuned = (
        list(lrs),
        [count("every seed", s, least=0) for s in seeds],
        [count("every seed", s, least=0) for s in tuning_seeds],
    )
    positive("lrs", chosen)
    positive("first_look", first_look)
    inside("first_look", first_look, 0.0, 1.0)
    for what, names in (("entry", [e.name for e in entries]), ("scenario", [s.key for s in scenarios]), ("step size", chosen)):
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if not names or twice is not None:
            raise ValueError(f"A contest needs at least one {what}, and none twice; got {'none' if not names else repr(twice) + ' twice'}.")
    if jobs == 0:
        raise ValueError("jobs must be a number of processes, or -1 for one a core, or None; got 0.")
    if set(judged) & set(tuned) or not judged or not tuned:
        raise ValueError(f"Tune on some seeds and judge on others, or luck is rewarded; got tuning_seeds {tuned} and seeds {judged}.")
    luck = {"own_traces": own_traces, "trace_seed": trace_seed}
    work = [_Round(list(entries), scenario, every or scenario.problem.n, first_look, luck, cache) for scenario in scenarios]
    parts = Parallel(n_jobs=jobs)(delayed(_play)(one, sorted(map(float, chosen)), tuned, judged) for one in work)
    return pd.concat(parts, ignore_index=True)


def _play(this: _Round, lrs: list[float], tuning_seeds: list[int], seeds: list[int]) -> pd.DataFrame:
    scores = this.tune(lrs, tuning_seeds)
    best = best_steps(scores)
    table = this.judge(best, seeds)
    for name, value in zip(("problem", "split", "cluster"), this.scenario.key, strict=True):
        table[name] = value
    moves = table["outcome"].ne("stalled").groupby(table["method"]).transform("any")  # who makes no step has no best step size
    table["edge"] = table["lr"].isin([lrs[0], lrs[-1]]) & (len(lrs) > 1) & moves
    order = {entry.name: i for i, entry in enumerate(this.entries)}
    return table.sort_values(["method", "seed"], key=lambda c: c.map(order) if c.name == "method" else c)[list(COLUMNS)]


def best_steps(scores: pd.DataFrame) -> dict[str, float]:
    """method -> the step size whose slowest seed is there first (of equals, the one with the least mean; then the smallest).

    `scores`: a table of `outcomes`. Where no step size reaches the target with every seed, the one with the least mean `level` (a seed
    that reached it has level 1 at most), so that a method which fails is shown at its best.
    """
    levels = scores["level"].fillna(1.0)
    table = scores.assign(level=np.where(scores["outcome"] == "reached", 1.0, levels))
    cells = table.groupby(["method", "lr"], sort=True)
    worst = cells.agg(worst=("seconds", "max"), mean=("seconds", "mean"), level=("level", "mean")).reset_index()
    ranked = worst.sort_values(["worst", "level", "mean", "lr"], kind="stable")
    return ranked.groupby("method", sort=False)["lr"].first().to_dict()


class _Round:
    """One scenario, and the runs that it takes."""

    def __init__(
        self, entries: list[Entry], scenario: Scenario, every: int, first_look: float, luck: dict[str, int], cache: str | os.PathLike | None
    ):
        self.entries, self.scenario, self.every = entries, scenario, count("every", every)
        self._first_look, self._luck, self._cache = first_look, luck, cache

    def tune(self, lrs: list[float], seeds: list[int]) -> pd.DataFrame:
        """Scores (`outcomes`) of every entry at every step size; of those that are there early, only what the first look saw."""
        return self._run({entry.name: lrs for entry in self.entries}, seeds, self._first_look)

    def judge(self, best: dict[str, float], seeds: list[int]) -> pd.DataFrame:
        """Scores of every entry at its `best` step size."""
        return self._run({name: [lr] for name, lr in best.items()}, seeds, 1.0)

    def _run(self, lrs: dict[str, list[float]], seeds: list[int], first: float) -> pd.DataFrame:
        """Scores of every entry at its `lrs`, after the share `first` of the horizon if all seeds are there with one of them, else all."""
        parts, left = [], self.entries
        for look in sorted({first, 1.0}):
            if left:
                scores = self._scores([entry.at(lr) for entry in left for lr in lrs[entry.name]], seeds, look)
                there = scores["outcome"].eq("reached").groupby([scores["method"], scores["lr"]]).all().groupby("method").any()
                parts.append(scores[scores["method"].map(there) | (look == 1)])
                left = [entry for entry in left if not there[entry.name]]
        return pd.concat(parts, ignore_index=True)

    def _scores(self, methods: list[Method], seeds: list[int], look: float) -> pd.DataFrame:
        this, until = self.scenario, look * self.scenario.horizon
        history = sweep(
            methods, this.cluster, this.problem, until=until, seeds=seeds, every=self.every,
            target=Target(this.metric, this.target, this.hold), cache=self._cache, jobs=1, progress=False, **self._luck,
        )  # fmt: skip
        return outcomes(history, this.metric, this.target, this.hold, until, self.every)
