"""Runs that are computed together along a trace, and how far they have come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from asgd_lib.problems import Problem
from asgd_lib.rules import Arrival, Arrivals, Rule, State
from asgd_lib.shortcuts import offers
from asgd_lib.trace import Trace
from asgd_lib.wavefront import Wavefront


class Batch:
    """R runs of one rule, seeds x step sizes: run r = s L + l has seed s. `state` is theirs after the arrivals so far."""

    def __init__(self, trace: Trace, rule: Rule, problem: Problem, seeds: Tensor, L: int, chunk: int, arrivals: int):
        self.state: State = rule.init(problem.x0.expand(L * len(seeds), -1).clone(), trace.n)
        self.used = 0  # arrivals that changed the state
        self._rule = rule
        self._gradients = Wavefront(trace, rule, problem, seeds, L, chunk, arrivals)
        self._workers, self._reads = trace.worker.tolist(), trace.read.tolist()
        self._seconds = (trace.end - trace.start).tolist()
        self._updates = [0]  # made after each number of arrivals
        self._first, self._grads = 0, []  # gradients at hand, those of the arrivals from `first` on
        self._ahead: Iterator[State] = iter(())  # the states after those that have not been applied

    def advance(self, e: int, stop: int) -> None:
        """Go on from the state after `e` arrivals to that after `stop`."""
        state, ahead, used, model_is, updates = self.state, self._ahead, 0, self._gradients.model_is, self._updates
        for arrival in range(e, stop):
            model_is(arrival, state)
            after = next(ahead, None)
            if after is None:
                self._first, self._grads = arrival, self._gradients.of(arrival)
                ahead = self._states_after(state, arrival)
                after = next(ahead)
            used += after is not state
            state = after
            updates.append(state.k)
        self.state, self._ahead, self.used = state, ahead, self.used + used

    def _states_after(self, state: State, e: int) -> Iterator[State]:
        """The states after each arrival from `e` on whose gradient is at hand."""
        grads = self._grads[e - self._first :]
        rows = slice(e, e + len(grads))
        arrivals = Arrivals(grads, self._workers[rows], [self._updates[read] for read in self._reads[rows]], self._seconds[rows])
        if offers(self._rule, "receive_all", "receive"):
            return self._rule.receive_all(state, arrivals)
        return _one_by_one(self._rule, state, arrivals)

    def narrow(self, e: int, kept: Tensor) -> bool:
        """After `e` arrivals go on with the runs `kept` alone, some step sizes with all their seeds; False where the state forbids it.

        That is so where the state holds anything but tensors (R, d) and (R, 1) and plain values, and where there are as many runs as
        workers, so that a tensor might have an entry for each of either.
        """
        R = len(self.state.x)
        try:
            if self.state.n == R:
                raise _Unclear
            state = _entries(self.state, kept, tuple(self.state.x.shape), {})
        except _Unclear:
            return False
        names = getattr(type(self._rule), "batched", ("lr",))
        self._rule = replace(self._rule, **{name: getattr(self._rule, name).index_select(0, kept) for name in names})
        self._gradients.narrow(self._rule, kept)
        self._first, self._grads = e, [grad.index_select(0, kept) for grad in self._grads[e - self._first :]]
        self.state, self._ahead = state, self._states_after(state, e) if self._grads else iter(())
        return True


def _one_by_one(rule: Rule, s: State, a: Arrivals) -> Iterator[State]:
    """The state after each of several arrivals."""
    for grad, worker, read_k, seconds in zip(*a, strict=True):
        s = rule.receive(s, Arrival(grad, worker, s.k - read_k, seconds))
        yield s


class _Unclear(Exception):
    """A part of a state may or may not have one entry for each run."""


def _entries(value: Any, kept: Tensor, shape: tuple[int, int], done: dict[int, Tensor]) -> Any:
    """What a part of a state is for the runs `kept` of a batch whose models have this shape."""
    if isinstance(value, Tensor):
        if tuple(value.shape) not in (shape, (shape[0], 1)):
            raise _Unclear
        if id(value) not in done:  # what is one tensor stays one
            done[id(value)] = value.index_select(0, kept)
        return done[id(value)]
    if isinstance(value, tuple):
        parts = [_entries(part, kept, shape, done) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise _Unclear
