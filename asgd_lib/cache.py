"""Computed runs on disk: one parquet file a batch of runs, found by the fingerprints of the runs in it."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from asgd_lib.atomic import atomic_path
from asgd_lib.fingerprint import fingerprint


class Cache:
    """A folder of batches. Files are whole or absent, never changed and never deleted, so processes may share a folder."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

    def index(self) -> dict[str, Path]:
        """The file of every run that is known, by its key. A damaged file is warned of, and its runs are computed anew.

        Files whose names begin with a dot are still being written, or were when somebody was killed.
        """
        found = {}
        for path in sorted(self.folder.glob("[!.]*.parquet")):
            try:
                pq.ParquetFile(path).read(columns=["key"])  # checks that the file is whole
                found.update(dict.fromkeys(json.loads(pq.read_schema(path).metadata[b"keys"]), path))
            except Exception as error:  # damage shows itself in many ways
                warnings.warn(f"{path} is damaged ({type(error).__name__}); its runs are computed again.", stacklevel=4)
        return found

    def load(self, paths: set[Path]) -> pd.DataFrame:
        """The rows of these files."""
        return pd.concat([pd.read_parquet(path) for path in sorted(paths)], ignore_index=True)

    def save(self, frame: pd.DataFrame) -> None:
        """Write runs, told apart by the column `key`."""
        keys = sorted(frame["key"].unique())
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.replace_schema_metadata({**table.schema.metadata, b"keys": json.dumps(keys).encode()})
        with atomic_path(self.folder / f"{fingerprint(keys)}.parquet") as path:
            pq.write_table(table, path)
