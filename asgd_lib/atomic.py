"""Files that are either whole or absent: write beside the target, then rename."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TAKEN = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST)


@contextmanager
def atomic_path(path: str | os.PathLike, remedy: str = "") -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes `path`, on any error it is removed.

    The folder is made if it is missing. A reader sees the old file or the new one, never a part of either.
    Raises OSError, as a sentence with the `remedy` (default: by the kind of error), where the disk is full or `path` cannot be written.
    """
    target = Path(path)
    with writes(target, remedy):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    temporary = Path(name)
    try:
        os.close(handle)
        try:
            yield temporary
        except OSError as error:
            if error.errno in _FULL and error.filename in (None, name, temporary):
                raise unwritable(target, error, remedy) from error
            raise
        with writes(target, remedy):
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def save_table(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a DataFrame, without its index, as a parquet file that is whole or absent."""
    content = table.to_parquet(index=False)  # by name, pyarrow opens no file that is not UTF-8
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def writes(path: str | os.PathLike, remedy: str = "") -> Iterator[None]:
    """Make the operating system's errors in the block sentences: `path` could not be written, why, and the `remedy`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, remedy) from error


def unwritable(path: str | os.PathLike, error: OSError, remedy: str = "") -> OSError:
    """`error` as a sentence, of the same class and with the same `errno`."""
    if not remedy:
        kinds = {_FULL: "Free some space, or name another place", _TAKEN: "Move away what is in its place, or name another"}
        remedy = next((words for kind, words in kinds.items() if error.errno in kind), "Name a place where you may write")
        remedy += ", and run it again."
    said = type(error)(f"{path} could not be written ({os.strerror(error.errno) if error.errno else error}). {remedy}")
    said.errno = error.errno
    return said
