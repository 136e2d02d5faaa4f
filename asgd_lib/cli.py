"""`asgd`: list what there is, run and compare methods, replay a recorded trace, examine a method of one's own, read the verdicts."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from asgd_lib import __version__

COMMANDS = {
    "list": "listing:list_",
    "run": "running:run",
    "replay": "running:replay_",
    "compare": "running:compare",
    "check": "checking:check",
    "contest": "contest:contest",
    "verdicts": "listing:verdicts",
    "serve": "serving:serve",
}
"""Command -> module of asgd_lib.commands, and function in it. Modules are imported when a command is called: torch takes a second."""


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, function = COMMANDS[name].split(":")
        return getattr(import_module(f"asgd_lib.commands.{module}"), function)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def asgd() -> None:
    """Asynchronous and heterogeneous distributed SGD, simulated and real."""


def main() -> None:
    """Entry point: an error of the library is a sentence and status 1, one of usage status 2."""
    try:
        asgd(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
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
