"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from asgd_lib.specs import BATCH

METHOD = "A name of the table of methods (`asgd list`), or path/to/file.py:Name"
_PROBLEM = "KIND:DATA[,KEYWORD=VALUE...] (`asgd list`), such as mlp:digits,hidden=64; or MODULE:FUNCTION of the number of workers."
_CLUSTER = "KIND:NUMBERS[,KEYWORD=VALUE...] (`asgd list`), such as straggler:10 or LogNormal:0.02,sigma=2; Fixed:1,1,9 worker by worker."
PROBLEM = [
    click.option("--problem", default="softmax:digits", show_default=True, help=_PROBLEM),
    click.option("--batch", default=BATCH, show_default=True, help="Samples a gradient."),
    click.option("--alpha", type=float, help="Split the data by Dirichlet(alpha); without it, evenly."),
]
CLUSTER = [
    click.option("--workers", default=8, show_default=True, help="Number of workers."),
    click.option("--cluster", default="Exponential:1.0", show_default=True, help=_CLUSTER),
    click.option("--arrivals", default=2000, show_default=True, help="Gradients that reach the server."),
]
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A hyperparameter of the methods that have it; may be repeated."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
OUT = [
    click.option("--seeds", default=3, show_default=True, help="Number of seeds of the gradients: 0, 1, ..., or from a real run's own on."),
    click.option("--every", type=int, help="Arrivals between checkpoints; default: twenty checkpoints."),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for tables, loss.png and a run's trace.npz."),
    JSON,
]


def options(*some: Callable) -> Callable:
    """All of these options, in this order."""

    def decorate(function: Callable) -> Callable:
        for option in reversed(some):
            function = option(function)
        return function

    return decorate
