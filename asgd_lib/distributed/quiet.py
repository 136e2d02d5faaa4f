"""Clocks are measured while nothing else computes: a notebook asks for the machine, and waits until it has it."""

from __future__ import annotations

import os
import time
from pathlib import Path

FOLDER = "ASGD_QUIET"
"""Environment variable: the folder in which a notebook asks, and is answered."""
ASKED, GRANTED = "asked", "granted"
_TICK = 0.05  # s between looks for the answer


def wait_for_quiet() -> None:
    """Return when every other notebook of this `make figures` has ended or waits here, too; none computes until this one has ended.

    `scripts/figures.py` sees the question and gives the answer, as files in the folder that FOLDER names. Where it names none nobody is
    asked: this returns at once.
    """
    if not os.environ.get(FOLDER):
        return
    folder = Path(os.environ[FOLDER])
    (folder / ASKED).touch()
    while folder.exists() and not (folder / GRANTED).exists():
        time.sleep(_TICK)
