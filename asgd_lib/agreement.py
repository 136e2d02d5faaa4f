"""How well two runs agree: a real one and its replay, a recorded trace and a simulated one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asgd_lib.arguments import guard
from asgd_lib.checks import count
from asgd_lib.trace import COLUMNS, Trace

Delays = Trace | Sequence[Trace] | Sequence[int]
"""What tells delays: a trace, several, or the delays themselves, in arrivals."""


def differing(x: Tensor, y: Tensor) -> int:
    """Number of coordinates of two models (d,) that are not the same bits, 0 and -0 included.

    Raises ValueError where shapes or number formats differ.
    """
    if x.shape != y.shape or x.dtype != y.dtype:
        raise ValueError(
            f"Only models of one shape and format have common bits; got {tuple(x.shape)} {x.dtype}, {tuple(y.shape)} {y.dtype}."
        )
    a, b = (one.detach().cpu().contiguous().numpy() for one in (x, y))
    bits = f"u{a.itemsize}"
    return int((a.view(bits) != b.view(bits)).sum())


def differing_rows(one: Trace, other: Trace, first: int | None = None, columns: Sequence[str] = ("worker", "read")) -> int:
    """Number of arrivals, among the `first` of each trace (default: all), that differ in one of `columns`.

    By default two arrivals are the same where the same worker computed on the same model; clocks may differ. An arrival that only one of
    the traces has counts as different.
    """
    columns, first = list(columns), None if first is None else count("first", first, least=0)
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown or not columns:
        raise ValueError(f"columns must be some of {', '.join(COLUMNS)}; got {', '.join(columns) or 'none'}.")
    lengths = [len(trace) if first is None else min(first, len(trace)) for trace in (one, other)]
    common = min(lengths)
    same = np.ones(common, dtype=bool)
    for column in columns:
        same &= getattr(one, column)[:common] == getattr(other, column)[:common]
    return max(lengths) - int(same.sum())


def delay_distance(one: Delays, other: Delays) -> float:
    """Total variation distance between the delays of two traces, 1/2 sum_k |share_k - share'_k|: 0 for equal shares, 1 for disjoint ones.

    Each is a `Trace`, its delays (E,) in arrivals, or a list of traces, whose arrivals are pooled. Source: the definition.
    """
    counts = [np.bincount(delays_of(each)) for each in (one, other)]
    width = max(map(len, counts))
    shares = [np.pad(count, (0, width - len(count))) / count.sum() for count in counts]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def excess_delay_distance(recorded: Sequence[Trace], simulated: Sequence[Trace]) -> NDArray[np.float64]:
    """(S,) for each recorded trace its mean `delay_distance` to the simulated ones, over the mean of these to each other.

    Two runs of one random model differ as well, and the shorter they are the more. About 1: the recorded trace is as far from simulated
    ones as they are from each other; 2: twice as far. Give the simulated traces other seeds than the recorded ones, and as many arrivals.

    Raises ValueError for fewer than two simulated traces, and where all of them have the same delays: nothing random to compare with.
    """
    if len(simulated) < 2:
        raise ValueError(f"At least two simulated traces are needed to see how they differ from each other; got {len(simulated)}.")
    among = [delay_distance(a, b) for i, a in enumerate(simulated) for b in simulated[:i]]
    if not max(among):
        raise ValueError("All simulated traces have the same delays; compare with delay_distance itself.")
    return np.array([np.mean([delay_distance(trace, other) for other in simulated]) for trace in recorded]) / np.mean(among)


def delays_of(one: Delays) -> NDArray[np.int64]:
    """(E,) the delays, in arrivals, of a trace or of a list of traces; delays themselves as they are.

    Raises ValueError where there are none, and for numbers that are no delays.
    """
    if isinstance(one, Trace):
        one = one.delays
    elif isinstance(one, (list, tuple)) and one and all(isinstance(each, Trace) for each in one):
        one = np.concatenate([each.delays for each in one])
    delays = np.asarray(one)
    if delays.ndim != 1 or not len(delays) or (delays < 0).any() or (delays != np.floor(delays)).any():
        raise ValueError("Delays must be those of traces with arrivals, or whole numbers (E,) of at least 0.")
    return delays.astype(np.int64)


guard(__name__)
