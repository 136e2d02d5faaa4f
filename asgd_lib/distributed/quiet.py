"""Clocks are measured while nothing else computes: a notebook asks for the machine, waits until it has it, and gives it back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asgd_lib.atomic import writes

FOLDER = "ASGD_QUIET"
"""Environment variable: the folder in which a notebook asks, and is answered."""
STARTED, ASKED, GRANTED, AWAKE = "started", "asked", "granted", "awake"
ANSWERS = "answers"
"""The file in that folder with the number of the process that answers."""
_TICK = 0.05  # s between looks for the answer


@contextmanager
def measuring() -> Iterator[None]:
    """A block in which the other notebooks of this `make figures` stand still.

    `scripts/figures.py` sees the question, stops the kernels of the others, gives the answer, and lets them go on when the block is left;
    all as files in the folder that FOLDER names. Where it names none nobody is asked, and where `figures.py` has died nobody answers: the
    block begins at once. OSError where the question cannot be written down.
    """
    if (folder := _desk()) is None:
        yield
        return
    _note(folder / ASKED)
    while folder.exists() and not (folder / GRANTED).exists() and _answers(folder):
        time.sleep(_TICK)
    try:
        yield
    finally:
        for word in (ASKED, GRANTED):  # in this order, or it would seem to ask again
            (folder / word).unlink(missing_ok=True)


def started() -> None:
    """Whoever runs a notebook says so once its kernel answers; from then on it may stand still. Stopped before, it would be given up."""
    if (folder := _desk()) is not None:
        _note(folder / STARTED)


def stay_awake() -> None:
    """From now on this notebook is not stopped for others who measure, who wait until it ends or measures, too.

    For one that runs processes outside of `measuring`: stopped with their server, they would find all time limits exceeded.
    """
    if (folder := _desk()) is not None:
        _note(folder / AWAKE)


def _desk() -> Path | None:
    """The folder that FOLDER names, where there is one."""
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder and os.path.exists(folder) else None


def _note(path: Path) -> None:
    with writes(path, f"Unset {FOLDER}, which `make figures` sets to a folder of its own, and run it again."):
        path.touch()


def _answers(folder: Path) -> bool:
    """Whether the process that answers is alive; one that has left no number is believed to be."""
    with suppress(FileNotFoundError, ValueError, PermissionError):
        try:
            os.kill(int((folder / ANSWERS).read_text()), 0)
        except ProcessLookupError:
            return False
    return True
