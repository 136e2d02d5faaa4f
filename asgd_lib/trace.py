"""A whole run without a single gradient: who computed what, when, and from which model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asgd_lib import journal
from asgd_lib.arguments import guard
from asgd_lib.atomic import atomic_path

SCHEMA = "1"
COLUMNS = {"job": np.int64, "worker": np.int64, "read": np.int64, "start": np.float64, "end": np.float64}
LOST = np.dtype(list(COLUMNS.items()))


@dataclass(frozen=True, eq=False)
class Trace:
    """The arrivals of a run in order, one row a gradient that reached the server.

    `read[e]` is the number of arrivals that the server had processed when that job's model was read, so `read[e] <= e`; a trace speaks of
    arrivals, not of model versions, and under a policy that never looks at the update counter it serves every rule.

    Shapes: all columns `(E,)`. Units: `start` (the worker begins to compute) and `end` (the gradient reaches the server) in seconds.
    `lost` holds the jobs that never arrived, a structured array with the same fields: cancelled or dropped ones with the time of their loss
    as `end`, those still in flight at the end of the trace with `end = inf` (`start = nan` where they only queued).

    Raises ValueError, with a sentence, where a column breaks one of these rules.
    """

    n: int
    job: NDArray[np.int64]
    worker: NDArray[np.int64]
    read: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    lost: NDArray = field(default_factory=lambda: np.empty(0, LOST))
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for name, dtype in COLUMNS.items():
            object.__setattr__(self, name, _frozen(name, getattr(self, name), dtype))
        object.__setattr__(self, "lost", _frozen("lost", self.lost, None))
        _validate(self)

    def __len__(self) -> int:
        return len(self.job)

    def __repr__(self) -> str:
        return f"Trace(n={self.n}, arrivals={len(self)}, lost={len(self.lost) - len(self.in_flight)}, in_flight={len(self.in_flight)})"

    def __eq__(self, other) -> bool:
        """Same workers, same arrivals, same losses, bit by bit (`meta` is not compared)."""
        if not isinstance(other, Trace):
            return NotImplemented
        return (
            self.n == other.n
            and all(np.array_equal(getattr(self, c), getattr(other, c)) for c in COLUMNS)
            and self.lost.tobytes() == other.lost.tobytes()  # a job that never began has no start: NaN, which equals nothing
        )

    @property
    def delays(self) -> NDArray[np.int64]:
        """(E,) arrivals processed between the reading of each job's model and its own arrival (fresh = 0)."""
        return np.arange(len(self)) - self.read

    @property
    def in_flight(self) -> NDArray:
        """The rows of `lost` that were still being computed when the trace ended."""
        return self.lost[np.isinf(self.lost["end"])]

    def frame(self) -> pd.DataFrame:
        """The columns, and `delay`, as a DataFrame with one row an arrival."""
        return pd.DataFrame({c: getattr(self, c) for c in COLUMNS} | {"delay": self.delays})

    def save(self, path: str | os.PathLike) -> None:
        """Write a compressed npz; the file is whole or absent. A few bytes an arrival."""
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            header = json.dumps({"schema": SCHEMA, "n": self.n, "meta": dict(self.meta)}, sort_keys=True)
            np.savez_compressed(file, header=np.array(header), lost=self.lost, **{c: getattr(self, c) for c in COLUMNS})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Trace:
        """Read what `save` wrote, or the journal of a real run, even of one that crashed.

        ValueError with the remedy where the file is damaged, of another kind or of another version.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"There is no trace file at {path}; save one with trace.save(path).")
        if path.is_file() and journal.is_journal(path):
            meta = journal.header(path)
            arrived, lost = journal.rows(path)
            columns = zip(*arrived, strict=True) if arrived else ((),) * len(COLUMNS)
            return cls(meta.pop("n"), *columns, lost=np.array(lost, dtype=LOST), meta=meta)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                header = json.loads(str(arrays["header"][()]))
                columns = {c: arrays[c] for c in COLUMNS}
                lost = arrays["lost"]
            n, schema, meta = int(header["n"]), header["schema"], dict(header["meta"])
        except Exception as error:  # numpy, zipfile, zlib and json each fail on damaged bytes in ways of their own
            raise ValueError(f"{path} is not a whole trace file ({type(error).__name__}); save it again or restore a copy.") from error
        if schema != SCHEMA:
            raise ValueError(f"{path} is a trace of schema {schema!r}; this version reads schema {SCHEMA!r}. Simulate or convert it again.")
        try:
            return cls(n=n, **columns, lost=lost, meta=meta)
        except ValueError as error:
            raise ValueError(f"{path} was changed after it was saved; save it again or restore a copy. {error}") from error


def _frozen(name: str, values, dtype: type | None) -> NDArray:
    """A read-only copy of `values`; ValueError where they are no numbers of that type."""
    try:
        with np.errstate(invalid="ignore"):
            column = np.array(values, dtype)
        exact = dtype is not np.int64 or np.array_equal(column, np.asarray(values))
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact:
        raise ValueError(f"Not a valid trace: column `{name}` must hold {'whole ' if dtype is np.int64 else ''}numbers.")
    column.flags.writeable = False
    return column


def _validate(trace: Trace) -> None:
    arrivals = trace.job.size

    def refuse(bad, sentence: str) -> None:
        bad = np.atleast_1d(bad)
        if bad.any():
            raise ValueError(f"Not a valid trace: {sentence.format(row=int(np.flatnonzero(bad)[0]))}")

    whole = isinstance(trace.n, (int, np.integer)) and not isinstance(trace.n, bool)
    refuse(not (whole and trace.n >= 1), f"it needs at least one worker; got n = {trace.n!r}.")
    for name in COLUMNS:
        shape = getattr(trace, name).shape
        refuse(shape != (arrivals,), f"column `{name}` has shape {shape}; all columns must have shape ({arrivals},).")
    refuse(trace.lost.dtype != LOST or trace.lost.ndim != 1, f"`lost` must be a vector of fields {', '.join(COLUMNS)}.")
    refuse((trace.worker < 0) | (trace.worker >= trace.n), f"row {{row}} names a worker outside 0..{trace.n - 1}.")
    late = (trace.read < 0) | (trace.read > np.arange(arrivals))
    refuse(late, "in row {row} `read` is negative or later than the arrival itself; it counts earlier arrivals only.")
    times = np.isfinite(trace.start) & np.isfinite(trace.end) & (trace.start >= 0) & (trace.end >= trace.start)
    refuse(~times, "row {row} does not satisfy 0 <= start <= end < inf (seconds).")
    refuse(np.diff(trace.end, prepend=-np.inf) < 0, "row {row} arrives before the row above it; `end` must not decrease.")
    lost = trace.lost
    refuse((lost["worker"] < 0) | (lost["worker"] >= trace.n), f"row {{row}} of `lost` names a worker outside 0..{trace.n - 1}.")
    late = (lost["read"] < 0) | (lost["read"] > arrivals)
    refuse(late, "in row {row} of `lost` `read` is negative or later than the last arrival.")
    times = ~(lost["start"] < 0) & ~(lost["end"] < lost["start"]) & ~np.isnan(lost["end"])  # start is NaN where a job never began
    refuse(~times, "row {row} of `lost` ends before it starts, or at no time (seconds; inf: still in flight).")
    jobs = np.sort(np.concatenate([trace.job, trace.lost["job"]]))
    refuse(jobs < 0, "job numbers must not be negative.")
    refuse((jobs[1:] == jobs[:-1]).any(), "two rows carry the same job number.")


guard(__name__)
