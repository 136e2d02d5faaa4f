"""What runs come to, printed and written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd
from tqdm import tqdm

from asgd_lib.atomic import atomic_path, save_table
from asgd_lib.history import at_best_lr, best_lr, final
from asgd_lib.methods import Method
from asgd_lib.replayer import replay
from asgd_lib.trace import Trace


def replayed(trace: Trace, methods: Sequence[Method], problem, seeds: Sequence[int], every: int | None) -> pd.DataFrame:
    """The history of the methods along a trace, with a bar of progress where somebody looks."""
    every = every or max(1, len(trace) // 20)
    with tqdm(total=100, unit="%", disable=not sys.stderr.isatty(), bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:
        return replay(trace, methods, problem, seeds=seeds, every=every, progress=lambda share: bar.update(100 * share))


def report(history: pd.DataFrame, by: list[str], out: Path | None, as_json: bool, trace: Trace | None = None) -> None:
    """Print how each group of runs ended, the mean over its seeds where it has several, and write the files."""
    history = pd.DataFrame(history.to_dict("series"))  # without the models
    last = history.groupby("run").last().groupby(by, sort=False)
    columns = [c for c in ("time", "updates", "loss", "grad_norm_sq", "accuracy") if c in history]
    table = last[columns].mean().assign(diverged=last["status"].agg(lambda s: int((s == "diverged").sum()))).reset_index()
    if "seed" not in by:
        table.insert(len(by), "seeds", last["seed"].nunique().to_numpy())
    show(table, as_json)
    if out is not None:
        if trace is not None:
            trace.save(out / "trace.npz")
        write(history, out, as_json, best_lr(final(history)), [] if trace is None else ["trace.npz"])


def show(table: pd.DataFrame, as_json: bool) -> None:
    """Print a table."""
    click.echo(table.to_json(orient="records", indent=1) if as_json else table.to_string(index=False, float_format="{:.5g}".format))


def write(history: pd.DataFrame, out: Path, as_json: bool, best: pd.DataFrame, others: Sequence[str] = ()) -> None:
    """Write `history.parquet`, and `loss.png` with every method at its step size in `best`, a table of `best_lr` or `tuned`.

    `others` are files that were written to `out` already, to be named with these two.
    """
    import matplotlib

    matplotlib.use("Agg")
    from asgd_lib import plots

    save_table(history, out / "history.parquet")
    plots.style()
    ax = plots.convergence(at_best_lr(history, best), "time", "loss")
    with atomic_path(out / "loss.png") as temporary:
        ax.figure.savefig(temporary, format="png", dpi=150)
    if not as_json:
        click.echo(f"wrote {', '.join(['history.parquet', 'loss.png', *others])} to {out}", err=True)
