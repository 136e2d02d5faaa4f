"""What a result was made with: versions, commit, threads, device."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def provenance() -> str:
    """A block of four lines to print: Python and library versions, the commit, the threads, the device.

    It differs from machine to machine: tag the cell that prints it `nbval-ignore-output`.
    """
    import torch

    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pandas"))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no accelerator"
    return "\n".join(
        (
            f"python   {platform.python_version()}, {libraries}",
            f"commit   {commit()}",
            f"threads  {torch.get_num_threads()}",
            f"device   {platform.machine()}, {device}",
        )
    )


def commit() -> str:
    """The short commit of the library's own repository, '+changes' if its tracked files differ; 'unknown' outside git."""
    here = Path(__file__)
    # An installed copy may lie inside somebody else's repository: only one that tracks this very file is ours.
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return "unknown"
    head = _git(here.parent, "rev-parse", "--short", "HEAD")
    if head is None:
        return "unknown"
    return f"{head} +changes" if _git(here.parent, "status", "--porcelain", "--untracked-files=no") else head


def _git(place: Path, *arguments: str) -> str | None:
    """What git prints, or None if it fails, is missing or does not answer within 10 s."""
    try:
        done = subprocess.run(["git", "-C", place, *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
