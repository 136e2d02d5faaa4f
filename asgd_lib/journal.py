"""What a real run writes as it goes: one record an event, whole or not at all, readable after any crash."""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asgd_lib.atomic import writes
from asgd_lib.locks import lock

MAGIC = b"asgd_lib journal 1\n"
QUEUED, BEGUN, ARRIVED, LOST, BACK = range(5)
"""Kinds of events. QUEUED: a job was handed out to a busy worker; BEGUN: its worker began it; ARRIVED: its gradient was taken; LOST: it
will never arrive; BACK: the worker that lost it is there (again), and the policy knows."""
_EVENT = np.dtype([("kind", "<i8"), ("job", "<i8"), ("worker", "<i8"), ("read", "<i8"), ("start", "<f8"), ("end", "<f8")])
_SIZE = _EVENT.itemsize + 8  # with the checksum
_CHECK = "crc32"  # of the rest of the first line, as JSON; older journals have none


class Event(NamedTuple):
    """One record: a kind, and the job's columns as far as they are known then (times in seconds; NaN before they are)."""

    kind: int
    job: int
    worker: int
    read: int
    start: float = float("nan")
    end: float = float("nan")


class Journal:
    """Appends events to a file, one write each: a killed process leaves all it wrote, a machine that goes down what was synced.

    `meta` is the first line of a new file. An existing file goes on after its last whole record.
    Raises ValueError where an existing file is no journal or is damaged, was written with other `meta`, or is being written by another run;
    OSError, with a sentence, where the disk is full or the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike, meta: Mapping[str, str | int]):
        self.path = Path(path)
        with writes(self.path):
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            self._begin(meta)
        except BaseException:
            os.close(self._file)
            raise

    def _begin(self, meta: Mapping[str, str | int]) -> None:
        lock(self._file, f"{self.path} is being written by another run; wait for it, or choose another folder.")
        fresh = not os.fstat(self._file).st_size
        if not fresh:
            old, (_, whole) = header(self.path), _whole(self.path, self.path.read_bytes())
            for name in {**old, **meta}:
                if old.get(name) != meta.get(name):
                    raise ValueError(
                        f"{self.path} records a run with {name} = {old.get(name)!r}; this one has {meta.get(name)!r}. "
                        "Go on with the same, or choose another folder."
                    )
            os.truncate(self._file, whole)
        else:
            self._append(MAGIC + _json({**meta, _CHECK: zlib.crc32(_json(meta))}) + b"\n")
            self.sync()

    def write(self, event: Event) -> None:
        """Append one event."""
        body = np.array(tuple(event), _EVENT).tobytes()
        self._append(body + zlib.crc32(body).to_bytes(8, "little"))

    def _append(self, record: bytes) -> None:
        """Write all of `record` or, where the disk is full, nothing of it: what came after half a record could not be read."""
        with writes(self.path):
            done = os.write(self._file, record)
            if done < len(record):
                os.truncate(self._file, os.fstat(self._file).st_size - done)
                raise OSError(errno.ENOSPC, "")

    def sync(self) -> None:
        """Wait until the disk has everything."""
        os.fsync(self._file)

    def close(self) -> None:
        """Sync, and close the file."""
        try:
            self.sync()
        finally:
            os.close(self._file)


def is_journal(path: str | os.PathLike) -> bool:
    """Whether the file begins as a journal does."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def header(path: str | os.PathLike) -> dict[str, str | int]:
    """The `meta` of a journal; ValueError where the file is none."""
    with open(path, "rb") as file:
        line = file.readline() if file.read(len(MAGIC)) == MAGIC else b""
    try:
        meta = json.loads(line)
    except (ValueError, RecursionError):
        meta = None
    if line.endswith(b"\n") and isinstance(meta, dict) and isinstance(meta.get("n"), int):
        if meta.pop(_CHECK, None) not in (None, zlib.crc32(_json(meta))):
            raise ValueError(f"{path} is damaged in its first line; restore a copy.")
        return meta
    raise ValueError(f"{path} is no journal of a run; name the `journal` in the folder that was given to serve(folder=...).")


def events(path: str | os.PathLike) -> Iterator[Event]:
    """All whole events in order; ValueError where a record in the middle is damaged (a torn last one is what a crash leaves)."""
    header(path)
    data = Path(path).read_bytes()
    first, last = _whole(path, data)
    for at in range(first, last, _SIZE):
        yield Event(*np.frombuffer(data, _EVENT, 1, at)[0].item())


def rows(path: str | os.PathLike) -> tuple[list[tuple], list[tuple]]:
    """The arrivals, and what was lost or in flight, as rows (job, worker, read, start, end)."""
    arrived, lost, flying = [], [], {}
    for event in events(path):
        row = tuple(event[1:])
        if event.kind in (QUEUED, BEGUN):
            flying[event.job] = (*row[:4], float("inf"))
            continue
        flying.pop(event.job, None)
        if event.kind != BACK:
            (arrived if event.kind == ARRIVED else lost).append(row)
    return arrived, sorted([*lost, *flying.values()])


def _json(meta: Mapping[str, str | int]) -> bytes:
    return json.dumps(dict(meta), sort_keys=True).encode()


def _whole(path: str | os.PathLike, data: bytes) -> tuple[int, int]:
    """Where in `data` the first record begins and the last whole one ends."""
    first = data.index(b"\n", len(MAGIC)) + 1
    for at in range(first, len(data), _SIZE):
        record = data[at : at + _SIZE]
        body, check = record[:-8], record[-8:]
        if len(record) < _SIZE or zlib.crc32(body) != int.from_bytes(check, "little"):
            if at + _SIZE < len(data):
                raise ValueError(f"{path} is damaged in the middle, at byte {at}; restore a copy.")
            return first, at
    return first, len(data)
