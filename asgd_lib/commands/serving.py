"""`asgd serve`: the command of `asgd_lib.serve` under another name."""

from __future__ import annotations

import sys

import click

from asgd_lib.serve import main


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run on real processes; `asgd serve --help` says more."""
    sys.exit(main(list(arguments), "asgd serve"))
