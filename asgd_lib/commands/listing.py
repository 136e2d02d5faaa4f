"""`asgd list`, `asgd verdicts`: what there is, and what came out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click

from asgd_lib import clusters, data, results, specs
from asgd_lib.commands.options import JSON
from asgd_lib.methods import METHODS


@click.command("list")
@JSON
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


def _first_line(thing: Callable) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]
