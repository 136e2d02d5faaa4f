"""`asgd list`, `asgd verdicts`: what there is, and what came out."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import click

from asgd_lib import data, results, specs
from asgd_lib.commands.options import JSON
from asgd_lib.data.bundled import SETS
from asgd_lib.methods import METHODS, Row

_OWN = "A function of the number of workers that returns a problem."
_HEADS = {
    "methods": ": where they come from, and what --set KEY=VALUE may change",
    "clusters": ": KIND:NUMBER for all workers, or NUMBER,NUMBER,... worker by worker; then ,KEYWORD=VALUE as often as needed",
    "problems": ": KIND:DATA; then ,KEYWORD=VALUE as often as needed",
    "data": ": train / test samples x features; `python -m asgd_lib.data --help` says how to fetch what is not bundled",
}


@click.command("list")
@JSON
def list_(as_json: bool) -> None:
    """Methods, worker times, problems and data sets."""
    found = {
        "methods": {name: row.source + _settings(row) for name, row in METHODS.items()},
        "clusters": {specs.form(kind): _first_line(made) for kind, made in specs.CLUSTERS.items()},
        "problems": {specs.form(kind): _first_line(made) for kind, made in specs.PROBLEMS.items()} | {"MODULE:FUNCTION": _OWN},
        "data": _data(),
    }
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for part, rows in found.items():
        click.echo(f"{click.style(part, bold=True)}{_HEADS.get(part, '')}")
        split = {name: name.partition("[,") for name in rows}  # keywords that may be left out come last: they are long
        width = max(len(must) for must, _, _ in split.values())
        for name, text in rows.items():
            must, _, may = split[name]
            keywords = f" Keywords: {', '.join(may[:-1].split(','))}." if may else ""
            click.echo(f"  {must:{width}}  {text}{keywords}")


@click.command()
@click.option("--results", "folder", default="notebooks", show_default=True, type=click.Path(path_type=Path), help="Holds `verdicts`.")
@click.option("--notebook", default="", help="Only notebooks whose names begin so.")
@JSON
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


def _data() -> dict[str, str]:
    """What the table in the text of `data.load` says, set by set."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in data.load.__doc__.splitlines() if line.count("|") > 4]
    says = {name: (size, features, scaled, source) for name, size, features, scaled, source in rows if name in data.NAMES}
    return {
        name: f"{size} x {features}; {scaled}; {'bundled' if name in SETS or source.startswith('embedded') else 'fetched'}: {source}"
        for name, (size, features, scaled, source) in says.items()
    }


def _settings(row: Row) -> str:
    """The hyperparameters of a method besides its step size, with their defaults."""
    given = [f"{name}={one.default}" for name, one in inspect.signature(row.rule).parameters.items() if name != "lr"]
    return f". Keywords: {', '.join(given)}." if given else ""


def _first_line(thing: Callable) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]
