"""A cluster that takes its times from a recording."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from asgd_lib.clusters.base import Clock, per_worker
from asgd_lib.trace import Trace


@dataclass(frozen=True)
class FromTrace:
    """Worker i's j-th gradient takes as long as its j-th took in the recording; past the end, the recording starts again.

    `source`: a `Trace`, the path of a saved one (.npz), of the journal of a real run, or of a CSV file with columns `worker` and `seconds`,
    or `worker`, `start`, `end`.
    Raises ValueError where a worker between 0 and the highest number has no gradient in the recording.
    """

    source: Trace | str | os.PathLike
    seconds: tuple[Sequence[float], ...] = field(init=False, repr=False)

    def __post_init__(self):
        frame, n = _frame(self.source)
        backwards = frame.loc[frame["seconds"].map(lambda seconds: isinstance(seconds, (int, float)) and seconds <= 0)]
        if len(backwards):
            row, seconds = backwards.index[0], backwards["seconds"].iloc[0]
            raise ValueError(
                f"In row {row} of the recording, counted from 0, a gradient of worker {backwards['worker'].iloc[0]} takes {seconds:g} s; "
                "all must take more than 0. Leave out what was recorded while a clock went back or stood still."
            )
        seconds = tuple(frame.loc[frame["worker"] == w, "seconds"].to_numpy().tolist() for w in range(n))
        empty = [w for w, times in enumerate(seconds) if not times]
        if empty or not seconds:
            missing = empty[0] if empty else 0
            raise ValueError(f"The recording has no gradient of worker {missing}; number the workers 0..n-1 without a gap.")
        object.__setattr__(self, "seconds", tuple(per_worker(f"seconds of worker {w}", times) for w, times in enumerate(seconds)))

    @property
    def n(self) -> int:
        return len(self.seconds)

    def clock(self, seed: int) -> Clock:
        return lambda worker, index, start: (self.seconds[worker][index % len(self.seconds[worker])], True)


def _frame(source: Trace | str | os.PathLike) -> tuple[pd.DataFrame, int]:
    if not isinstance(source, Trace) and Path(source).suffix == ".csv":
        if not Path(source).exists():
            raise FileNotFoundError(f"There is no recording at {source}.")
        try:
            frame = pd.read_csv(source)
            if "seconds" not in frame and {"start", "end"} <= set(frame):
                frame["seconds"] = frame["end"] - frame["start"]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{source} is no CSV table of times ({str(error).strip()}).") from error
        if not {"worker", "seconds"} <= set(frame):
            raise ValueError(f"{source} needs columns worker and seconds, or worker, start and end; it has {', '.join(map(str, frame))}.")
        workers = frame["worker"].to_numpy()
        if not len(workers) or not np.issubdtype(workers.dtype, np.integer) or workers.min() < 0:
            raise ValueError(f"{source} must number its workers 0..n-1 in whole numbers, and hold at least one row.")
        return frame, int(workers.max()) + 1
    trace = source if isinstance(source, Trace) else Trace.load(source)
    return pd.DataFrame({"worker": trace.worker, "seconds": trace.end - trace.start}), trace.n
