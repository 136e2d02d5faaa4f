"""Several methods on the same real processes and the same slow network, in turns, as one table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from asgd_lib.checks import choice, count
from asgd_lib.distributed.gang import gang
from asgd_lib.distributed.hierarchy import run_hierarchy
from asgd_lib.distributed.measured import Measured
from asgd_lib.distributed.slow_link import SlowLink
from asgd_lib.methods import Method
from asgd_lib.problems import Problem

Runs = dict[tuple[str, int], Measured]
"""(name, repeat) -> what was measured."""


def measure_hierarchy(
    problem: Problem,
    methods: Mapping[str, Method],
    *,
    nodes: int,
    repeats: int = 3,
    bandwidth: float | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **job: Any,
) -> Runs:
    """`run_hierarchy` for every method, `repeats` times with the seeds 0, 1, ...: the same minibatches for all methods of one repeat.

    The methods take turns within a repeat, so that a change of the machine's mood meets them all. `bandwidth` (bytes/s) puts every node on
    its own host of one `SlowLink`; None leaves all on this machine. `options[name]` are arguments of `run_hierarchy` for one method alone,
    such as `pieces`; `job` are those for all.

    Raises RuntimeError, with the reason, where a slow link cannot be had (`slow_link.available`).
    """
    options = options or {}
    unknown = sorted(set(options) - set(methods))
    if unknown:
        raise ValueError(f"There are options for {unknown[0]!r}, and the methods are {', '.join(methods)}.")
    runs: Runs = {}
    with nullcontext() if bandwidth is None else SlowLink(nodes, bandwidth) as link:
        for repeat in range(count("repeats", repeats)):
            for name, method in methods.items():
                job_of = {**job, **options.get(name, {})}
                runs[name, repeat] = run_hierarchy(problem, method, nodes=nodes, seed=repeat, link=link, **job_of)
    return runs


def all_reduce_seconds(numbers: int, nodes: int, *, bandwidth: float | None = None, repeats: int = 10, timeout: float = 60.0) -> NDArray:
    """(repeats,) s of an all-reduce of `numbers` float32 between `nodes` idle processes, on hosts as `measure_hierarchy` has.

    What a simulated cluster needs to know of the network, measured apart from any training.
    """
    arguments = count("numbers", numbers), count("repeats", repeats)
    with nullcontext() if bandwidth is None else SlowLink(nodes, bandwidth) as link:
        return gang(_all_reduces, arguments, nodes, hosts=link and link.hosts, timeout=timeout)


def _all_reduces(numbers: int, repeats: int) -> NDArray[np.float64]:
    x, seconds = torch.ones(numbers), []
    for _ in range(repeats + 1):  # the first makes connections
        dist.barrier()
        began = time.monotonic()
        dist.all_reduce(x)
        seconds.append(time.monotonic() - began)
    table = torch.tensor(seconds[1:], dtype=torch.float64)
    dist.all_reduce(table, op=dist.ReduceOp.MAX)
    return table.numpy()


def measured_table(runs: Runs, problem: Problem) -> pd.DataFrame:
    """One row per (run, epoch) and one for its start; the metrics are computed here, exactly and off the clock.

    Columns: `run, method, repeat, epoch`, `seconds` on the wall since the start until the last worker had finished the epoch, `compute_s`
    and `exposed_s` of this epoch (mean over the workers; they add up to what the epoch took a worker), then the metrics.
    """
    frames = []
    for run, ((name, repeat), measured) in enumerate(runs.items()):
        frame = measured.frame(problem)
        frame["method"] = name
        frame.insert(1, "repeat", repeat)
        frame.insert(0, "run", run)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def seconds_to(table: pd.DataFrame, target: float, metric: str = "loss", *, rising: bool = False) -> pd.DataFrame:
    """One row a run, `run, method, repeat, value`: the seconds at which `metric` first falls to `target` (rises to, with `rising`).

    Linear between the ends of epochs; inf where a run never gets there, 0 where it began there.
    """
    choice("metric", metric, list(table.columns))
    rows = []
    for (run, method, repeat), part in table.groupby(["run", "method", "repeat"], sort=True):
        time, values = part["seconds"].to_numpy(), part[metric].to_numpy()
        there = np.flatnonzero(values >= target if rising else values <= target)
        if not len(there):
            value = np.inf
        elif there[0] == 0:
            value = 0.0
        else:
            i = there[0]
            share = (target - values[i - 1]) / (values[i] - values[i - 1])
            value = time[i - 1] + share * (time[i] - time[i - 1])
        rows.append((run, method, repeat, value))
    return pd.DataFrame(rows, columns=["run", "method", "repeat", "value"])
