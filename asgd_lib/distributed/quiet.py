"""Clocks are measured while nothing else computes: a notebook asks for the machine, and waits until it has it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from asgd_lib.atomic import writes

FOLDER = "ASGD_QUIET"
"""Environment variable: the folder in which a notebook asks, and is answered."""
ASKED, GRANTED = "asked", "granted"
ANSWERS = "answers"
"""The file in that folder with the number of the process that answers."""
_TICK = 0.05  # s between looks for the answer


def wait_for_quiet() -> None:
    """Return when every other notebook of this `make figures` has ended or waits here, too; none computes until this one has ended.

    `scripts/figures.py` sees the question and gives the answer, as files in the folder that FOLDER names. Where it names none nobody is
    asked, and where `figures.py` has died nobody answers: this returns at once. OSError where the question cannot be written down.
    """
    if not os.environ.get(FOLDER):
        return
    folder = Path(os.environ[FOLDER])
    if folder.exists():
        with writes(folder / ASKED, f"Unset {FOLDER}, which `make figures` sets to a folder of its own, and run it again."):
            (folder / ASKED).touch()
    while folder.exists() and not (folder / GRANTED).exists() and _answers(folder):
        time.sleep(_TICK)


def _answers(folder: Path) -> bool:
    """Whether the process that answers is alive; one that has left no number is believed to be."""
    with suppress(FileNotFoundError, ValueError, PermissionError):
        try:
            os.kill(int((folder / ANSWERS).read_text()), 0)
        except ProcessLookupError:
            return False
    return True
