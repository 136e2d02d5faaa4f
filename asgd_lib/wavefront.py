"""The gradients of a trace in order of arrival, those that wait for nothing computed together."""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np
import torch
from torch import Tensor

from asgd_lib.problems import Problem
from asgd_lib.rules import Rule, State
from asgd_lib.shortcuts import offers
from asgd_lib.trace import Trace

_DRAW_BYTES = 512 << 10  # memory of the draws made ahead of the gradients that use them


class Wavefront:
    """Hands out the gradients of the first `arrivals` arrivals, computing the outstanding ones in batches of at most `chunk` jobs.

    Runs are each of the `seeds` (S,) L times: run r = s L + l has seed s.
    """

    def __init__(self, trace: Trace, rule: Rule, problem: Problem, seeds: Tensor, L: int, chunk: int, arrivals: int):
        drawn = offers(problem, "grad_at", "grad")
        self._grads = _Drawn(trace, problem, seeds, L, arrivals) if drawn else _Plain(trace, problem, seeds, L)
        self._chunk = chunk
        self._read, self._reader = getattr(rule, "read", None), trace.worker.tolist()
        by_read = np.argsort(trace.read[:arrivals], kind="stable")
        self._reads = [*trace.read[by_read].tolist(), arrivals + 1]
        self._by_read = by_read.tolist()
        self._next = 0  # first entry of _by_read whose model has not been read
        self._readable: list[int] = []  # heap of arrivals whose model is known and whose gradient is not
        self._model: dict[int, Tensor] = {}
        self._grad: dict[int, Tensor] = {}

    def model_is(self, e: int, state: State) -> None:
        """Note the models that jobs read after `e` arrivals: the server's, or what the rule says that the worker reads."""
        place = self._next
        while self._reads[place] == e:
            arrival = self._by_read[place]
            self._model[arrival] = state.x if self._read is None else self._read(state, self._reader[arrival])
            heappush(self._readable, arrival)
            place += 1
        self._next = place

    def narrow(self, rule: Rule, kept: Tensor) -> None:
        """From now on compute the runs `kept` alone, by their rule: some step sizes with all their seeds."""
        self._read = getattr(rule, "read", None)
        for held in (self._model, self._grad):
            for arrival, value in held.items():
                held[arrival] = value.index_select(0, kept)
        self._grads.narrow(kept)

    def of(self, e: int) -> list[Tensor]:
        """The gradients (R, d) of arrival `e`, the first that has not been handed out, and of those after it that are known then."""
        known, now, grads = self._grad, [], []
        # What arrives much later waits for a later call: a block of gradients lives until its last one is used.
        while self._readable and len(now) < self._chunk and self._readable[0] < e + 2 * self._chunk:
            now.append(heappop(self._readable))
        known.update(zip(now, self._grads(e, now, [self._model.pop(a) for a in now]), strict=True))
        while e in known:
            grads.append(known.pop(e))
            e += 1
        return grads


class _Plain:
    """Gradients by a problem's `grad` alone."""

    def __init__(self, trace: Trace, problem: Problem, seeds: Tensor, L: int):
        device = problem.x0.device
        self._problem, self._seeds = problem, seeds.repeat_interleave(L)
        self._worker, self._job = torch.tensor(trace.worker, device=device), torch.tensor(trace.job, device=device)

    def narrow(self, kept: Tensor) -> None:
        self._seeds = self._seeds.index_select(0, kept)

    def __call__(self, e: int, now: list[int], models: list[Tensor]) -> tuple[Tensor, ...]:
        return self._problem.grad(torch.stack(models), self._worker[now], self._job[now], self._seeds).unbind(0)


class _Drawn:
    """Gradients by `draws` and `grad_at`: draws are made for many arrivals ahead, once for all step sizes."""

    def __init__(self, trace: Trace, problem: Problem, seeds: Tensor, L: int, arrivals: int):
        device = problem.x0.device
        self._problem, self._seeds, self._L, self._end = problem, seeds, L, arrivals
        self._worker, self._job = torch.tensor(trace.worker, device=device), torch.tensor(trace.job, device=device)
        self._ahead = max(1, _DRAW_BYTES // (len(seeds) * problem.draw_bytes)) if problem.draw_bytes else arrivals
        self._low = self._high = 0  # arrivals whose draws are at hand
        self._drawn: tuple[Tensor, ...] = ()  # their workers and draws
        self._models = problem.x0.new_empty(0)  # stacked models, call after call in the same memory

    def narrow(self, kept: Tensor) -> None:
        self._L = len(kept) // len(self._seeds)

    def _reach(self, e: int, last: int) -> None:
        """Drop the draws of arrivals before `e`, and make those up to `last` and some more."""
        low, high = min(e, self._high), min(self._end, last + self._ahead)
        worker, job = self._worker[self._high : high], self._job[self._high : high]
        new = worker, *self._problem.draws(worker, job, self._seeds)
        old = [rows[low - self._low :] for rows in self._drawn] if low < self._high else ()
        self._drawn = tuple(torch.cat(pair) for pair in zip(old, new, strict=True)) if old else new
        self._low, self._high = low, high

    def __call__(self, e: int, now: list[int], models: list[Tensor]) -> tuple[Tensor, ...]:
        if now[-1] >= self._high:
            self._reach(e, now[-1] + 1)
        m, L, S = len(now), self._L, len(self._seeds)
        first = now[0] - self._low
        if now[-1] - now[0] < m:
            worker, *draws = (rows[first : first + m] for rows in self._drawn)
        else:
            places = torch.from_numpy(np.array(now) - self._low).to(self._worker.device)
            worker, *draws = (rows.index_select(0, places) for rows in self._drawn)
        x = torch.stack(models, out=self._models.resize_(m, S * L, models[0].shape[-1]))
        x = x.view(m, S, L, -1).transpose(1, 2)  # as a problem over data multiplies them: without a copy
        grads = self._problem.grad_at(x, worker, tuple(draws))
        return grads.transpose(1, 2).reshape(m, S * L, -1).unbind(0)
