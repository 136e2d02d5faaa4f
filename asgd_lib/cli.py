"""`asgd`: list what there is, run and compare methods, replay a recorded trace, read the verdicts."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd
from tqdm import tqdm

from asgd_lib import METHODS, Method, Trace, __version__, clusters, data, replay, results, simulate, specs
from asgd_lib.atomic import atomic_path
from asgd_lib.serve import main as serve_main
from asgd_lib.sweep import sweep
from asgd_lib.tuning import tuned

_PROBLEM = [
    click.option("--problem", default="softmax:digits", show_default=True, help="KIND:DATA, or MODULE:FUNCTION of the number of workers."),
    click.option("--batch", default=32, show_default=True, help="Samples a gradient."),
    click.option("--alpha", type=float, help="Split the data by Dirichlet(alpha); without it, evenly."),
]
_CLUSTER = [
    click.option("--workers", default=8, show_default=True, help="Number of workers."),
    click.option("--cluster", default="Exponential:1.0", show_default=True, help="KIND:SECONDS for all, or worker by worker with commas."),
    click.option("--arrivals", default=2000, show_default=True, help="Gradients that reach the server."),
]
_SETTINGS = click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A further hyperparameter; may be repeated.")
_OUT = [
    click.option("--seeds", default=3, show_default=True, help="Number of seeds of the gradients: 0, 1, ..."),
    click.option("--every", type=int, help="Arrivals between checkpoints; default: twenty checkpoints."),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for history.parquet and loss.png."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
]


def _with(*options: Callable) -> Callable:
    def decorate(function: Callable) -> Callable:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def asgd() -> None:
    """Asynchronous and heterogeneous distributed SGD, simulated and real."""


@asgd.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_(as_json: bool) -> None:
    """Methods, worker times, problems and data sets."""
    found = {
        "methods": {name: row.source for name, row in METHODS.items()},
        "clusters": {kind: _first_line(getattr(clusters, kind)) for kind in specs.SPEEDS},
        "problems": {kind: _first_line(made) for kind, made in specs.KINDS.items()},
        "data": {name: "" for name in data.NAMES},
    }
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for part, rows in found.items():
        click.secho(part, bold=True)
        width = max(map(len, rows))
        for name, text in rows.items():
            click.echo(f"  {name:{width}}  {text}".rstrip())


@asgd.command()
@click.option("--method", required=True, help="A name of the table of methods (`asgd list`).")
@click.option("--lr", type=float, required=True, help="Step size.")
@_with(_SETTINGS, *_PROBLEM, *_CLUSTER, *_OUT)
def run(method, lr, settings, problem, batch, alpha, workers, cluster, arrivals, seeds, every, out, as_json) -> None:
    """Simulate one method on a cluster and replay it on a problem."""
    made, machine = specs.problem(problem, workers, batch=batch, alpha=alpha), specs.cluster(cluster, workers)
    chosen = specs.method(method, lr, settings)
    trace = simulate(machine, chosen, arrivals=arrivals)
    _report(_replayed(trace, [chosen], made, seeds, every), ["seed"], out, as_json, trace)


@asgd.command("replay")
@click.argument("path", metavar="TRACE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--method", "names", multiple=True, required=True, help="A name of the table of methods; may be repeated.")
@click.option("--lr", "lrs", type=float, multiple=True, required=True, help="Step size; may be repeated.")
@_with(_SETTINGS, *_PROBLEM, *_OUT)
def replay_(path, names, lrs, settings, problem, batch, alpha, seeds, every, out, as_json) -> None:
    """What methods make of the arrivals in TRACE: a saved trace, or the journal of a real run."""
    trace = Trace.load(path)
    made = specs.problem(problem, trace.n, batch=batch, alpha=alpha)
    chosen = [specs.method(name, lr, settings) for name in names for lr in lrs]
    _report(_replayed(trace, chosen, made, seeds, every), ["method", "lr"], out, as_json)


@asgd.command()
@click.option("--method", "names", multiple=True, required=True, help="A name of the table of methods; name two or more.")
@click.option("--lrs", default="0.003:3:7", show_default=True, help="Grid of step sizes, LOW:HIGH:NUMBER, geometric; the same for all.")
@click.option("--target", type=float, help="Compare by the seconds to this loss, instead of by the loss at the end.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--cache", type=click.Path(file_okay=False), help="Folder that remembers finished runs.")
@_with(_SETTINGS, *_PROBLEM, *_CLUSTER, *_OUT)
def compare(
    names, lrs, target, jobs, cache, settings, problem, batch, alpha, workers, cluster, arrivals, seeds, every, out, as_json
) -> None:  # fmt: skip
    """Tune every method on the same grid of step sizes, and compare them at their best, with intervals over seeds."""
    made, machine = specs.problem(problem, workers, batch=batch, alpha=alpha), specs.cluster(cluster, workers)
    methods = [specs.method(name, lr, settings) for name in names for lr in specs.grid(lrs)]
    every = every or max(1, arrivals // 20)
    history = sweep(methods, machine, made, arrivals=arrivals, seeds=range(seeds), every=every, jobs=jobs, cache=cache)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = tuned(history, target=target).drop(columns=["cluster", "problem"]).sort_values("value", kind="stable")
    _print(table, as_json)
    for warning in caught:
        click.echo(f"warning: {warning.message}", err=True)
    if out is not None:
        _write(history, out, as_json)


@asgd.command()
@click.option("--results", "folder", default="notebooks", show_default=True, type=click.Path(path_type=Path), help="Holds `verdicts`.")
@click.option("--notebook", default="", help="Only notebooks whose names begin so.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def verdicts(folder: Path, notebook: str, as_json: bool) -> None:
    """What the notebooks found, claim by claim."""
    found = [run for run in results.load_verdicts(folder) if run["notebook"].startswith(notebook)]
    if not found:
        say = f"There are no verdicts of {notebook or 'any notebook'} in {folder}/verdicts; make figures leaves new ones in results/quick."
        raise click.ClickException(say)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for one in found:
        click.secho(one["notebook"], bold=True)
        for v in one["verdicts"]:
            click.echo(f"  {v['id']:4} {v['verdict']:15} {v['shown']:32} {v['expected']:18} {v['says']}")


@asgd.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run on real processes; `asgd serve --help` says more."""
    sys.exit(serve_main(list(arguments)))


def _replayed(trace: Trace, methods: Sequence[Method], problem, seeds: int, every: int | None) -> pd.DataFrame:
    every = every or max(1, len(trace) // 20)
    with tqdm(total=100, unit="%", disable=not sys.stderr.isatty(), bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:
        return replay(trace, methods, problem, seeds=range(seeds), every=every, progress=lambda share: bar.update(100 * share))


def _report(history: pd.DataFrame, by: list[str], out: Path | None, as_json: bool, trace: Trace | None = None) -> None:
    """Print how each group of runs ended, and write the files."""
    history = pd.DataFrame(history.to_dict("series"))  # without the models
    last = history.groupby("run").last().groupby(by, sort=False)
    columns = [c for c in ("time", "updates", "loss", "grad_norm_sq", "accuracy") if c in history]
    table = last[columns].mean().assign(diverged=last["status"].agg(lambda s: int((s == "diverged").sum()))).reset_index()
    _print(table, as_json)
    if out is not None:
        if trace is not None:
            trace.save(out / "trace.npz")
        _write(history, out, as_json)


def _print(table: pd.DataFrame, as_json: bool) -> None:
    click.echo(table.to_json(orient="records", indent=1) if as_json else table.to_string(index=False, float_format="{:.5g}".format))


def _write(history: pd.DataFrame, out: Path, as_json: bool) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from asgd_lib import plots

    with atomic_path(out / "history.parquet") as temporary:
        history.to_parquet(temporary, index=False)
    ends = history.groupby("run").last()
    ends["loss"] = np.where(ends["status"] == "diverged", np.inf, ends["loss"])
    means = ends.groupby(["method", "lr"], sort=False)["loss"].mean().reset_index()
    best = means.loc[means.groupby("method", sort=False)["loss"].idxmin()].set_index("method")["lr"]
    plots.style()
    ax = plots.convergence(history[history["lr"] == history["method"].map(best)], "time", "loss")
    with atomic_path(out / "loss.png") as temporary:
        ax.figure.savefig(temporary, format="png", dpi=150)
    if not as_json:
        click.echo(f"wrote {', '.join(sorted(path.name for path in out.iterdir()))} to {out}", err=True)


def _first_line(thing: Callable) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def main() -> None:
    """Entry point: an error of the library is a sentence and status 1, one of usage status 2."""
    try:
        asgd(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (ValueError, TypeError, KeyError, OSError) as error:
        click.echo(f"asgd: {error.args[0] if len(error.args) == 1 else error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
