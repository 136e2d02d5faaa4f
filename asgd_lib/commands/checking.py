"""`asgd check`: whether a method conforms."""

from __future__ import annotations

import inspect
import json
import sys

import click

from asgd_lib import specs
from asgd_lib.commands.options import JSON, METHOD, SETTINGS
from asgd_lib.conformance import CHECKS, Make, conform, delays


def explains_method(command: click.Command) -> click.Command:
    """The command, with a paragraph at the end of its help that says what METHOD is."""
    command.help = f"{inspect.cleandoc(command.help)}\n\nMETHOD: {METHOD[0].lower()}{METHOD[1:]}."
    return command


@explains_method
@click.command()
@click.argument("method", metavar="METHOD")
@click.option("--processes/--no-processes", default=True, help="Run it on real processes as well; takes some seconds.")
@SETTINGS
@JSON
def check(method: str, processes: bool, settings: tuple[str, ...], as_json: bool) -> None:
    """Whether METHOD does what every method owes its users; if not, a sentence says what to change, and the exit code is 1."""
    if not conforms(method, specs.makers([method], settings)[0], processes, as_json):
        sys.exit(1)


def conforms(method: str, make: Make, processes: bool = True, as_json: bool = False) -> bool:
    """Print what the checks find out about `make`, which goes by `method`, and say whether all passed."""
    findings = []
    for finding in conform(make, processes=processes):
        findings.append(finding)
        if not as_json:
            click.echo(f"  {'fails' if finding.problem else 'ok':6}{finding.check:22}{finding.problem or finding.asks}")
    failed = bool(findings[-1].problem)
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=1))
    elif failed:
        left = ", ".join(name for name in list(CHECKS)[len(findings) :] if processes or name != "real processes")
        click.echo(f"{method} does not conform. Mend this first{f'; after it come: {left}' if left else ''}.")
    else:
        click.echo(f"{method} conforms: {len(findings)} checks passed.\n  {delays(make)}")
    return not failed
