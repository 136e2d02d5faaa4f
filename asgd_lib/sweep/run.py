"""A whole grid as one call, with a memory on disk."""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from tqdm import tqdm

from asgd_lib.atomic import save_table
from asgd_lib.cache import Cache
from asgd_lib.checks import count
from asgd_lib.clusters import Cluster
from asgd_lib.methods import METHODS, Method
from asgd_lib.problems import Problem
from asgd_lib.sweep.grid import Length, Task, tasks
from asgd_lib.target import Target


def variants(name: str, **lists: Sequence[Any]) -> list[Method]:
    """A method of the table with every combination of the hyperparameters listed: `variants("ormo", lr=lrs, momentum=[0.5, 0.9])`."""
    return [METHODS[name](**dict(zip(lists, values, strict=True))) for values in itertools.product(*lists.values())]


def sweep(
    methods: Sequence[Method],
    clusters: Cluster | Mapping[str, Cluster],
    problems: Problem | Mapping[str, Problem],
    *,
    arrivals: int | None = None,
    until: float = math.inf,
    seeds: Iterable[int] = (0,),
    every: int = 100,
    target: Target | None = None,
    own_traces: bool = False,
    trace_seed: int = 0,
    cache: str | os.PathLike | None = None,
    jobs: int | None = 1,
    progress: bool | None = None,
    save: str | os.PathLike | None = None,
) -> pd.DataFrame:
    """Simulate and replay methods x clusters x problems (data sets, partitions) x seeds, as one table of histories.

    Every run goes to `arrivals` arrivals or `until` seconds, or no further than its `target`, and is evaluated every `every` arrivals. All
    seeds of a cluster share its trace, that of `trace_seed`, so that a batch of runs is one replay; with `own_traces` each seed meets the
    trace of its own number. Rows are those of `replay`, with the labels `cluster` and `problem` before them (of a single one: empty), in
    the order of the grid; models are not kept.

    With `cache`, a folder, every batch of runs is written there as soon as it is computed, under what it depends on: methods, cluster,
    problem with its data, seed, length, and the source of this library. A second call, after a crash or with more methods, step sizes or
    seeds, computes only what is missing: after a crash the same bits; over data, runs that were added equal those of one large call to
    rounding (see `replay`). `save` writes the table as one parquet file.

    `jobs` processes work side by side (joblib, loky); None leaves it to the `joblib.parallel_config` around the call, which may hand the
    work to Dask or Ray. `progress` shows a bar of runs on stderr; by default only where that is a terminal.

    Raises ValueError where the grid is empty, names a run twice, or holds numbers that make no sense.
    """
    clusters = clusters if isinstance(clusters, Mapping) else {"": clusters}
    problems = problems if isinstance(problems, Mapping) else {"": problems}
    seeds = [count("every seed", seed, least=0) for seed in seeds]
    for name, part in (("method", methods), ("cluster", clusters), ("problem", problems), ("seed", seeds)):
        if not len(part):
            raise ValueError(f"A sweep needs at least one {name}.")
    luck = None if own_traces else count("trace_seed", trace_seed, least=0)
    work = tasks(methods, clusters, problems, seeds, Length(arrivals, until, count("every", every), target), luck)
    order = {key: (c, p, i, s) for c, p, i, s, key in _places(work, methods, clusters, problems, seeds)}
    if len(order) < len(methods) * len(clusters) * len(problems) * len(seeds):
        raise ValueError("The sweep names a run twice: give every method, cluster, problem and seed once.")
    if jobs == 0:
        raise ValueError("jobs must be a number of processes, or -1 for one a core, or None; got 0.")
    store = None if cache is None else Cache(cache)
    known = store.index() if store else {}
    parts = [store.load({known[key] for key in order if key in known})] if order.keys() & known.keys() else []
    left = [piece for task in work for piece in task.without(known)]
    shown = sys.stderr.isatty() if progress is None else progress
    with tqdm(total=len(order), initial=len(order.keys() & known.keys()), unit="run", disable=not shown) as bar:
        as_they_come = get_active_backend()[0].supports_return_generator  # Ray's backend gives a list at the end
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered" if as_they_come else "list")
        computed = parallel(delayed(_compute)(task, store) for task in left)
        for part in computed:
            parts.append(part)
            bar.update(part["key"].nunique())
    table = _in_order(pd.concat(parts, ignore_index=True), order, list(clusters), list(problems))
    if save is not None:
        save_table(table, save)
    return table


def _compute(task: Task, store: Cache | None) -> pd.DataFrame:
    part = task.compute()
    if store is not None:
        store.save(part)
    return part


def _places(work, methods, clusters, problems, seeds):
    """Where each run of the tasks stands in the grid: cluster, problem, method, seed, and its key."""
    place = {id(method): i for i, method in enumerate(methods)}
    columns = [{label: i for i, label in enumerate(names)} for names in (clusters, problems, seeds)]
    for task in work:
        for seed in task.seeds:
            for method, key in zip(task.methods, task.keys[seed], strict=True):
                yield columns[0][task.cluster[0]], columns[1][task.problem[0]], place[id(method)], columns[2][seed], key


def _in_order(table: pd.DataFrame, order: Mapping[str, tuple[int, ...]], clusters: list[str], problems: list[str]) -> pd.DataFrame:
    """The rows of the runs in `order`, run by run, with runs renumbered and the labels of their cluster and problem."""
    keys = sorted(order, key=order.get)
    run = {key: i for i, key in enumerate(keys)}
    table = table[table["key"].isin(run)]
    table = table.assign(run=table["key"].map(run)).sort_values(["run", "arrivals"], kind="stable", ignore_index=True)
    table = table.drop(columns="key").drop_duplicates(["run", "arrivals"], ignore_index=True)
    for column, axis, labels in (("problem", 1, problems), ("cluster", 0, clusters)):
        table.insert(0, column, [labels[order[keys[i]][axis]] for i in table["run"]])
    return table
