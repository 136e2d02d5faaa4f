"""Computed runs on disk: one parquet file a batch of runs, named by the fingerprints of the runs in it and by its own checksum."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from asgd_lib.atomic import atomic_path
from asgd_lib.fingerprint import fingerprint

_READ: dict[Path, dict[tuple[str, int, int], list[str]]] = {}
"""Folder -> the keys in each whole file that this process has looked into, by name, time of writing and size."""


class Cache:
    """A folder of batches. Files are whole or absent, never changed and never deleted, so processes may share a folder."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

    def index(self) -> dict[str, Path]:
        """The file of every run that is known, by its key. A damaged file is warned of, and its runs are computed anew.

        Only files that are new since the last call in this process, or were written again, are opened. Files whose names begin with a dot
        are still being written, or were when somebody was killed.
        """
        folder = self.folder.resolve()
        before, now, found = _READ.get(folder, {}), {}, {}
        for path, mark in _marked(self.folder):
            try:
                now[mark] = before[mark] if mark in before else _keys(path)
            except FileNotFoundError:  # gone since it was listed
                continue
            except Exception as error:  # damage shows itself in many ways
                warnings.warn(f"{path} is damaged ({type(error).__name__}); its runs are computed again.", stacklevel=4)
                continue
            found.update(dict.fromkeys(now[mark], path))
        _READ[folder] = now
        return found

    def load(self, paths: set[Path]) -> pd.DataFrame:
        """The rows of these files. FileNotFoundError where one is gone since `index`, ValueError where one has not the runs it names."""
        try:
            return pd.concat([_runs(path) for path in sorted(paths)], ignore_index=True)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{error.filename or error}: a file of the cache {self.folder} was deleted while it was read. Call again: what is gone "
                "is computed anew."
            ) from error

    def save(self, frame: pd.DataFrame) -> None:
        """Write runs, told apart by the column `key`."""
        keys = sorted(frame["key"].unique())
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.replace_schema_metadata({**table.schema.metadata, b"keys": json.dumps(keys).encode()})
        content = pa.BufferOutputStream()
        pq.write_table(table, content)
        data = content.getvalue().to_pybytes()
        with atomic_path(self.folder / f"{fingerprint(keys)}-{_checksum(data)}.parquet") as path:
            path.write_bytes(data)


def _marked(folder: Path) -> list[tuple[Path, tuple[str, int, int]]]:
    """The finished files, by name, each with what tells its content from that of an earlier file of its name."""
    marked = []
    for path in sorted(folder.glob("[!.]*.parquet")):
        try:
            status = path.stat()
        except FileNotFoundError:  # gone since it was listed
            continue
        marked.append((path, (path.name, status.st_mtime_ns, status.st_size)))
    return marked


def _keys(path: Path) -> list[str]:
    """The keys of the runs in a file; ValueError unless it is whole, bit by bit."""
    checksum = path.stem.partition("-")[2]
    if not checksum:  # written before names had checksums, by a version whose runs are not ours
        return []
    data = path.read_bytes()
    if _checksum(data) != checksum:
        raise ValueError("its content is not what its name says")
    keys = json.loads(pq.read_schema(pa.BufferReader(data)).metadata[b"keys"])
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("its keys are no list of names")
    return keys


def _runs(path: Path) -> pd.DataFrame:
    """The rows in a file; ValueError where they are not those of its keys, as in a file that this library has not written."""
    data = path.read_bytes()
    try:
        frame = pd.read_parquet(io.BytesIO(data))
        whole = set(frame["key"]) == set(_keys(path))
    except FileNotFoundError:
        raise
    except Exception:  # damage shows itself in many ways
        whole = False
    if not whole:
        raise ValueError(f"{path} has not the runs that it names: delete it, and they are computed again.")
    return frame


def _checksum(data: bytes) -> str:
    """A flipped bit in a number is nothing that parquet itself would notice."""
    return hashlib.sha256(data).hexdigest()[:32]
