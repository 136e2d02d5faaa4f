"""One run a folder: who writes there keeps others out until it ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asgd_lib.atomic import writes


@contextmanager
def alone(folder: str | os.PathLike | None) -> Iterator[None]:
    """Keep other runs out of `folder`, made if it is missing, in the block; None is no folder and nobody's.

    Raises ValueError where there is another run, OSError, as a sentence, where the folder cannot be made or opened.
    """
    if folder is None:
        yield
        return
    with writes(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        lock(handle, f"Another run writes into {folder}; wait for it, or stop it.")
        yield
    finally:
        os.close(handle)


def lock(handle: int, taken: str) -> None:
    """Lock an open file or folder until it is closed, as it is when this process ends; ValueError, `taken`, where another has the lock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(taken) from None
    except OSError:
        pass  # a file system that knows no locks, or none of folders (NFS): better no lock than no run
