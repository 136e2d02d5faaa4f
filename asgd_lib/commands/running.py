"""`asgd run`, `asgd replay`, `asgd compare`: histories of methods, simulated and replayed."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import click

from asgd_lib import specs
from asgd_lib.commands.options import CLUSTER, METHOD, OUT, PROBLEM, SETTINGS, options
from asgd_lib.commands.report import replayed, report, show, write
from asgd_lib.locks import alone
from asgd_lib.simulator import simulate
from asgd_lib.sweep import sweep
from asgd_lib.trace import Trace
from asgd_lib.tuning import tuned


@click.command()
@click.option("--method", required=True, help=f"{METHOD}.")
@click.option("--lr", type=float, required=True, help="Step size.")
@options(SETTINGS, *PROBLEM, *CLUSTER, *OUT)
def run(method, lr, settings, problem, batch, alpha, workers, cluster, arrivals, seeds, every, out, as_json) -> None:
    """Simulate one method on a cluster and replay it on a problem."""
    chosen = specs.methods([method], [lr], settings)
    made, machine = specs.problem(problem, workers, batch=batch, alpha=alpha), specs.cluster(cluster, workers)
    with alone(out):
        trace = simulate(machine, chosen[0], arrivals=arrivals)
        trace = replace(trace, meta=trace.meta | {"problem": specs.spelt(problem, batch, alpha)})
        report(replayed(trace, chosen, made, range(seeds), every), ["seed"], out, as_json, trace)


@click.command("replay")
@click.argument("path", metavar="TRACE", type=click.Path(exists=True, path_type=Path))
@click.option("--method", "names", multiple=True, required=True, help=f"{METHOD}; may be repeated.")
@click.option("--lr", "lrs", type=float, multiple=True, required=True, help="Step size; may be repeated.")
@options(SETTINGS, *PROBLEM, *OUT)
def replay_(path, names, lrs, settings, problem, batch, alpha, seeds, every, out, as_json) -> None:
    """What methods make of the arrivals in TRACE: a saved trace, the journal of a real run, or the folder of either."""
    chosen = specs.methods(names, lrs, settings)
    trace = Trace.load(_in_folder(path) if path.is_dir() else path)
    made_by = trace.meta.get("policy")
    others = sorted({one.name for one in chosen if made_by not in (None, repr(one.policy))})
    if others:
        note = f"note: these arrivals were made under {made_by}; {', '.join(others)} would have made others, and only the rule runs here."
        click.echo(f"{note} asgd run simulates a method's own.", err=True)
    then, now = trace.meta.get("problem"), specs.spelt(problem, batch, alpha)
    if then not in (None, now):
        click.echo(f"note: these arrivals were made on {then}; this replay is on {now}, where gradients are others.", err=True)
    first = int(trace.meta.get("seed", 0)) if trace.meta.get("source") == "recorded" else 0  # that of the run's data and minibatches
    made = specs.problem(problem, trace.n, batch=batch, alpha=alpha, seed=first)
    with alone(out):
        report(replayed(trace, chosen, made, range(first, first + seeds), every), ["method", "lr"], out, as_json)


def _in_folder(folder: Path) -> Path:
    """The file with a run's arrivals: of a real run the journal, which is there and whole also while the run goes on."""
    for name in ("journal", "trace.npz"):
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder} holds neither trace.npz nor a journal: name the folder of a run (--out, --folder), or a file.")


@click.command()
@click.option("--method", "names", multiple=True, required=True, help=f"{METHOD}; name two or more.")
@click.option("--lrs", default="0.01:100:9", show_default=True, help="Grid of step sizes, LOW:HIGH:NUMBER, geometric; the same for all.")
@click.option("--target", type=float, help="Compare by the seconds to this loss, instead of by the loss at the end.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--cache", type=click.Path(file_okay=False), help="Folder that remembers finished runs.")
@options(SETTINGS, *PROBLEM, *CLUSTER, *OUT)
def compare(
    names, lrs, target, jobs, cache, settings, problem, batch, alpha, workers, cluster, arrivals, seeds, every, out, as_json
) -> None:  # fmt: skip
    """Tune every method on the same grid of step sizes, and compare them at their best, with intervals over seeds."""
    methods = specs.methods(names, specs.grid(lrs), settings)
    made, machine = specs.problem(problem, workers, batch=batch, alpha=alpha), specs.cluster(cluster, workers)
    every = every or max(1, arrivals // 20)
    with alone(out):
        history = sweep(methods, machine, made, arrivals=arrivals, seeds=range(seeds), every=every, jobs=jobs, cache=cache)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table = tuned(history, target=target).drop(columns=["cluster", "problem"]).sort_values("value", kind="stable")
        show(table if as_json else table.rename(columns={"value": "loss" if target is None else "seconds"}), as_json)
        for warning in caught:
            click.echo(f"warning: {warning.message}", err=True)
        if out is not None:
            write(history, out, as_json, table)
