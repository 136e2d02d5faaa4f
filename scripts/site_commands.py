"""What `asgd --help` and its commands' --help say, as a page of the site."""

from __future__ import annotations

import argparse
from functools import partial

import click

from asgd_lib import cli
from asgd_lib.serve import parser

WIDTH = 84  # columns, of which a page shows so many


def usage() -> str:
    """A heading and the help text of the command and of each of its parts, in Markdown."""
    context = click.Context(cli.asgd, info_name="asgd", terminal_width=WIDTH, max_content_width=WIDTH, **cli.asgd.context_settings)
    texts = {"asgd": cli.asgd.get_help(context)}
    for name in cli.asgd.list_commands(context):
        command = cli.asgd.get_command(context, name)
        inner = click.Context(command, context, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
        texts[f"asgd {name}"] = command.get_help(inner)
    serve = parser("asgd serve")
    serve.formatter_class = partial(argparse.HelpFormatter, width=WIDTH)
    texts["asgd serve"] = serve.format_help()
    return "\n".join(f"## {name}\n\n```text\n{text.strip()}\n```\n" for name, text in texts.items())
