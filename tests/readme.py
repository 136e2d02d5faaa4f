"""What README.md tells a reader to type: its fenced blocks, its commands, and a folder in which they can be tried."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the line of README.md at which it begins."""

    language: str
    text: str
    line: int


def blocks(text: str = TEXT) -> list[Block]:
    """All fenced blocks, in order."""
    found = re.finditer(r"^```(.*)\n((?:.*\n)*?)^```$", text, re.MULTILINE)
    return [Block(one[1].strip(), one[2], text[: one.start()].count("\n") + 1) for one in found]


def commands(text: str = TEXT) -> list[str]:
    """The lines of all shell blocks, those that a backslash continues joined, without comments."""
    lines = [line for block in blocks(text) if block.language == "sh" for line in block.text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def named(command: str) -> str:
    """The program that a command calls."""
    return shlex.split(command, comments=True)[0]


def of(program: str) -> list[str]:
    """The commands that call `program`; AssertionError where there is none, because a test would then check nothing."""
    found = [command for command in commands() if named(command) == program]
    assert found, f"README.md has no line with {program} any more"
    return found


def clone(folder: Path) -> Path:
    """A folder that looks like a clone of the repository, in which a command may leave what it likes."""
    for path in ROOT.iterdir():
        if path.name not in (".git", "results", "site", "runs", "build"):
            (folder / path.name).symlink_to(path)
    return folder


def environment(**more: str) -> dict[str, str]:
    """A shell in which .venv/bin/activate was sourced; one thread a process, and warnings of Python are errors."""
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PYTEST_"))}
    return kept | {"PATH": path, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error"} | more
