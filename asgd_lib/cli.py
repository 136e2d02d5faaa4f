"""`asgd`: list what there is, run and compare methods, replay a recorded trace, examine a method of one's own, read the verdicts."""

from __future__ import annotations

import sys
from importlib import import_module

from asgd_lib import __version__
from asgd_lib.interruption import ends_at_once

INTERRUPTED = "asgd: interrupted. What is written is whole; run it again, and what a cache holds is not computed anew."
with ends_at_once(INTERRUPTED):
    import click

COMMANDS = {
    "list": ("listing:list_", "Methods, worker times, problems and data sets."),
    "run": ("running:run", "Simulate one method on a cluster and replay it on a problem."),
    "replay": (
        "running:replay_",
        "What methods make of the arrivals in TRACE: a saved trace, the journal of a real run, or the folder of either.",
    ),
    "compare": (
        "running:compare",
        "Tune every method on the same grid of step sizes, and compare them at their best, with intervals over seeds.",
    ),
    "check": (
        "checking:check",
        "Whether METHOD does what every method owes its users; if not, a sentence says what to change, and the exit code is 1.",
    ),
    "contest": (
        "contest:contest",
        "Check METHOD..., then compare them with the table's methods on clusters and splits; the exit code is 1 if a check fails.",
    ),
    "verdicts": ("listing:verdicts", "What the notebooks found, claim by claim."),
    "serve": ("serving:serve", "Run on real processes; `asgd serve --help` says more."),
}
"""Command -> (module of asgd_lib.commands and function in it, first line of its help). Modules, and with them torch, which takes seconds,
are imported when a command is called, not to list them all."""


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, function = COMMANDS[name][0].split(":")
        with ends_at_once(INTERRUPTED):
            return getattr(import_module(f"asgd_lib.commands.{module}"), function)

    def resolve_command(self, context: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from asgd_lib.spelling import meant

            context.fail(f"There is no command {args[0]!r}{meant(args[0], COMMANDS)}; there are {', '.join(COMMANDS)}.")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def asgd() -> None:
    """Asynchronous and heterogeneous distributed SGD, simulated and real."""


def main() -> None:
    """Entry point: an error of the library is a sentence and status 1, one of usage status 2, Ctrl-C status 130."""
    try:
        asgd(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(INTERRUPTED, err=True)
        sys.exit(130)
    except Exception as error:
        own = sys.modules.get("asgd_lib.user_method")  # not imported: then no file has been read
        said = own.told_of_own(error) if own else ""
        if not said and not isinstance(error, (ValueError, TypeError, KeyError, OSError)):
            raise
        click.echo(f"asgd: {said or (error.args[0] if len(error.args) == 1 else error)}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
