#!/usr/bin/env python
"""Make the golden files: short traces of every method on three clusters, and the models they end with.

    .venv/bin/python scripts/golden.py            # add what is missing, name what has changed, touch nothing else
    .venv/bin/python scripts/golden.py --accept   # keep the changes; say in the commit why they had to be

Traces are compared exactly: times come from plain Python arithmetic on draws that are the project's own. Models are compared to rtol 1e-6.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
import torch

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.atomic import atomic_path
from asgd_lib.problems import Quadratic
from asgd_lib.trace import COLUMNS, Trace

FOLDER = Path(__file__).parents[1] / "tests" / "golden"
CLUSTERS = {
    "fixed": clusters.Fixed((1.0, 2.0, 5.0)),
    "exponential": clusters.Exponential((1.0, 2.0, 5.0)),
    "dropout": clusters.Dropout(clusters.TruncatedNormal((1.0, 2.0, 4.0), 1.0), up=12.0, down=3.0),
}
ARRIVALS, LR, SEED = 30, 0.1, 5


def problem() -> Quadratic:
    """Three workers of different curvatures and minimisers, with noise."""
    A = [[1.0, 0.5, 0.25], [0.5, 1.0, 0.75], [0.25, 0.75, 1.0]]
    b = [[1.0, -1.0, 0.5], [-2.0, 0.25, 1.0], [0.5, 3.0, -1.0]]
    return Quadratic(torch.tensor(A), torch.tensor(b), sigma=0.5, x0=torch.tensor([1.0, -2.0, 3.0]))


def trace_of(cluster: str, method: str) -> Trace:
    return simulate(CLUSTERS[cluster], METHODS[method](LR), arrivals=ARRIVALS, seed=SEED)


def rows(trace: Trace, method: str) -> pd.DataFrame:
    """Arrivals in order, then the jobs that never arrived."""
    lost = pd.DataFrame(trace.lost.copy())
    table = pd.concat([trace.frame()[list(COLUMNS)].assign(arrived=1), lost.assign(arrived=0)], ignore_index=True)
    table.insert(0, "method", method)
    return table


def final(cluster: str, method: str) -> dict:
    history = replay(trace_of(cluster, method), METHODS[method](LR), problem(), seeds=[SEED], every=ARRIVALS)
    x = history.attrs["x"][0].tolist()
    return {"cluster": cluster, "method": method, "updates": int(history["updates"].iloc[-1]), "loss": history["loss"].iloc[-1],
            **{f"x{i}": value for i, value in enumerate(x)}}  # fmt: skip


def read(name: str) -> pd.DataFrame:
    """A golden table; empty where there is none yet."""
    path = FOLDER / f"{name}.csv"
    return pd.read_csv(path, float_precision="round_trip") if path.exists() else pd.DataFrame({"method": []})


def tables() -> dict[str, pd.DataFrame]:
    """Every golden table as the library makes it now."""
    made = {f"trace_{c}": pd.concat([rows(trace_of(c, m), m) for m in METHODS], ignore_index=True) for c in CLUSTERS}
    return made | {"finals": pd.DataFrame([final(c, m) for c in CLUSTERS for m in METHODS])}


def main() -> int:
    arguments = argparse.ArgumentParser(description="Make the golden files, or say how they have changed.")
    arguments.add_argument("--accept", action="store_true", help="overwrite golden values that have changed")
    accept = arguments.parse_args().accept
    changed = False
    for name, table in tables().items():
        kept = read(name)
        old, new = dict(list(kept.groupby("method"))), dict(list(table.groupby("method")))
        differ = [m for m in old if m not in new or not same(old[m], new[m])]
        if differ:
            print(f"{name}: changed: {', '.join(differ)}")
            changed = True
        take = [new[m] if accept or m not in old else old[m] for m in new]
        take += [] if accept else [old[m] for m in old if m not in new]
        with atomic_path(FOLDER / f"{name}.csv") as path:
            pd.concat(take, ignore_index=True).to_csv(path, index=False, lineterminator="\n")
    if changed and not accept:
        print("Nothing that has changed was written; --accept keeps the changes.")
    return int(changed and not accept)


def same(old: pd.DataFrame, new: pd.DataFrame) -> bool:
    """Equal bit by bit, the models too: this machine made both."""
    return old.reset_index(drop=True).equals(new.reset_index(drop=True).astype(old.dtypes, errors="ignore"))


if __name__ == "__main__":
    sys.exit(main())
