"""The table of methods as a page of the site shows it, read off the table itself."""

from __future__ import annotations

import html
import inspect

from asgd_lib.methods import METHODS, Row

HEAD = """## The table

The first argument is always `lr`; keywords stand here with their defaults, and the policy is the one that these give. A rule's name
leads to its formula.

| name | keywords | policy, and rule | source |
| --- | --- | --- | --- |
"""


def table() -> str:
    """A heading and a row a method, in Markdown."""
    return HEAD + "".join(_row(name, row) for name, row in METHODS.items())


def _row(name: str, row: Row) -> str:
    keywords = [f"`{key}={one.default!r}`" for key, one in inspect.signature(row.rule).parameters.items() if key != "lr"]
    made = row(lr=0.1)
    rule, source = type(made.rule).__name__, html.escape(row.source, quote=False).replace("_", "\\_")
    pair = f'`{made.policy!r}`, <a href="rules.html#asgd_lib.rules.{rule}">{rule}</a>'
    cells = [f"`{name}`", ", ".join(keywords), pair, source]
    return "| " + " | ".join(cells) + " |\n"
