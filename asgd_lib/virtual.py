"""The virtual iterate: where the model would come to rest if nobody started another job."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from asgd_lib.arguments import guard
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.replayer import replay
from asgd_lib.trace import COLUMNS, Trace


def landed(trace: Trace) -> Trace:
    """`trace` with all its jobs in flight arriving at its last moment, in the order in which they were handed out; no job starts anew."""
    left = trace.in_flight
    left["end"] = trace.end[-1] if len(trace) else left["start"].max(initial=0.0)
    return Trace(trace.n, *(np.concatenate([getattr(trace, column), left[column]]) for column in COLUMNS), meta=trace.meta)


def virtual_iterate(trace: Trace, method: Method, problem: Problem, *, seeds: Iterable[int] = (0,)) -> tuple[Tensor, Tensor]:
    """The models x (S, d) after the last arrival of `trace`, and y (S, d) after all jobs in flight have landed as well, seed by seed.

    For ASGD with constant steps y is the virtual iterate of arXiv:2206.07638, y_{k+1} = y_k - lr grad f(x_k): every gradient is applied
    when its computation starts. x - y is then lr times the sum of the gradients in flight.
    """
    seeds = list(seeds)
    x, y = (replay(t, method, problem, seeds=seeds, every=max(1, len(t))).attrs["x"] for t in (trace, landed(trace)))
    return x, y


guard(__name__, costly=True)
