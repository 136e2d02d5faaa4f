"""The arithmetic: a trace, a rule and a problem make a history, a whole batch of runs at once."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from asgd_lib.arguments import guard
from asgd_lib.batch import Batch
from asgd_lib.checks import count, positive
from asgd_lib.fingerprint import content_key
from asgd_lib.history import History
from asgd_lib.inference import without_autograd
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.rules import Rule, over_runs
from asgd_lib.target import Target, Watch
from asgd_lib.trace import Trace

_CALL_BYTES = 12 << 20  # working memory of one batched gradient call; larger blocks fall out of the caches
_THREAD_BYTES = 8 << 20  # and of each of several threads, whose waiting for each other costs more
_LAST_SEED = 2**63 - 1
_DIVERGED = 1e6  # a loss this many times 1 + |first loss| counts as diverged


def replay(
    trace: Trace,
    method: Method | Sequence[Method],
    problem: Problem,
    *,
    seeds: Iterable[int] = (0,),
    every: int = 100,
    arrivals: int | None = None,
    target: Target | None = None,
    jobs_per_call: int | None = None,
    timeout: float | None = None,
    progress: Callable[[float], object] | None = None,
) -> pd.DataFrame:
    """Compute the models of a run along `trace`, for every method and seed, and evaluate them exactly at checkpoints.

    Runs are methods x seeds, in the order given; methods that differ only in numbers (step sizes) are computed as one batch, with the bits
    they would have alone (over data to rounding: matrix products may choose another kernel for another batch). A job's gradient depends
    only on the model it read, so the outstanding jobs are computed together, at most `jobs_per_call` at a time (default: what fits the
    caches). Of a method only the rule is used: along a trace that another policy made (a barrier's, say) it is not the whole method.

    Returns one row per (run, checkpoint), checkpoints at 0, every `every` arrivals and at the end. Columns: `run, method, lr, seed`, then
    `time` (simulated seconds), `arrivals`, `updates`, `used` (arrivals that changed the state), `rounds`, `bytes`, the metrics, and
    `status`, one of `done`, `reached`, `diverged`, `timeout` for the whole run. A diverged run has no rows after the checkpoint that found
    its loss infinite, NaN or over 1e6 (1 + |first loss|); with a `target` no run has rows after the one that found it there, which saves
    time where one only asks when (`history.time_to`); earlier rows are those of a run without it. `attrs["x"]` holds the last models
    `(R, d)`. `timeout` bounds the wall time in seconds. `progress` is called now and then with the share of the work done since it was
    last called; the shares add up to 1.

    Raises ValueError where trace and problem disagree on the number of workers, or a number makes no sense.
    """
    methods = [method] if isinstance(method, Method) else list(method)
    seeds = [count("every seed", s, least=0, most=_LAST_SEED) for s in seeds]
    every, arrivals = count("every", every), len(trace) if arrivals is None else count("arrivals", arrivals, least=0, most=len(trace))
    if not methods or not seeds:
        raise ValueError("Replay needs at least one method and one seed.")
    if problem.n != trace.n:
        raise ValueError(
            f"The trace has {trace.n} workers and the problem {problem.n}; split the data over as many workers as the cluster has."
        )
    if timeout is not None:
        positive("timeout", timeout)
    _keep_freed_memory()
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    history = History([(m.label, float(m.lr), s) for m in methods for s in seeds])
    groups = list(alike(methods))
    report = (lambda share: None) if progress is None else lambda share: progress(share / len(groups))
    for members, rule in groups:
        runs = [i * len(seeds) + j for j in range(len(seeds)) for i in members]  # all step sizes of a seed side by side
        R = len(runs)
        batch_rule = over_runs(rule[0], like=problem.x0, **{f: np.tile(v, len(seeds)) for f, v in rule[1].items()})
        run_seeds = torch.tensor(seeds, device=problem.x0.device)
        job_bytes = R * problem.gradient_bytes - (R - len(seeds)) * getattr(problem, "shared_bytes", 0)
        chunk = _jobs(job_bytes, torch.get_num_threads()) if jobs_per_call is None else jobs_per_call
        with without_autograd(problem, batch_rule):
            chunk = count("jobs_per_call", chunk)
            _run(trace, batch_rule, problem, run_seeds, every, arrivals, target, chunk, deadline, history, runs, report)
    return history.frame()


def alike(methods: Sequence[Method]) -> Iterator[tuple[list[int], tuple[Rule, dict[str, list[float]]]]]:
    """Groups of methods whose rules differ only in the numbers they declare as batched (`lr` unless `batched` says more)."""
    groups: dict[tuple, list[int]] = {}
    for i, m in enumerate(methods):
        batched = getattr(type(m.rule), "batched", ("lr",))
        fixed = tuple((f.name, content_key(getattr(m.rule, f.name))) for f in dataclasses.fields(m.rule) if f.name not in batched)
        groups.setdefault((type(m.rule), fixed), []).append(i)
    for (kind, _), members in groups.items():
        names = getattr(kind, "batched", ("lr",))
        values = {f: [float(getattr(methods[i].rule, f)) for i in members] for f in names}
        yield members, (methods[members[0]].rule, values)


def _jobs(job_bytes: int, threads: int) -> int:
    """How many jobs of so many bytes to compute together: what fits the caches, and as many for one thread as for another."""
    fit = max(1, max(_CALL_BYTES, threads * _THREAD_BYTES) // job_bytes)
    return fit if fit < threads else fit // threads * threads


def _keep_freed_memory() -> None:
    """Let the C library keep blocks below 32 MB that are freed: given back and fetched anew, their pages cost more than the arithmetic.

    Under glibc one freed block of that size is enough (mallopt(3), M_MMAP_THRESHOLD); elsewhere this does nothing.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


class _Looks:
    """The checkpoints of a batch: who has ended, how, and with which model. In numpy, to whom so few numbers cost half as much."""

    def __init__(self, batch: Batch, problem: Problem, target: Target | None, S: int, history: History):
        R = len(batch.state.x)
        self.status = np.full(R, "done", dtype=object)
        self.final = batch.state.x.clone()
        self._batch, self._problem, self._S, self._history = batch, problem, S, history
        self._alive = np.ones(R, dtype=bool)
        self._computed = np.arange(R)  # the runs in the batch; step sizes leave it together, with all their seeds
        self._counts = self._alive  # those of them that are alive
        self._limit: NDArray | None = None  # for their losses
        self._watch = None if target is None else Watch(target, R)
        self._separable = True

    def look(self, e: int, end: float, last: bool) -> bool:
        """Evaluate the runs after `e` arrivals, `end` seconds; whether one of them goes on. It is the `last` look where time is up."""
        state = self._batch.state
        metrics = {name: _array(value) for name, value in self._problem.metrics(state.x).items()}
        loss = metrics["loss"]
        self._limit = _array(_DIVERGED * (1 + torch.from_numpy(loss).abs())) if self._limit is None else self._limit
        fine = (loss <= self._limit) & np.isfinite(_array(state.x.abs().amax(-1)))
        there = self._watch.arrived(end, metrics) if self._watch else None
        sent = getattr(state, "sent", state.n + 2 * e)  # vectors of d numbers, both ways
        counts = {"arrivals": e, "updates": state.k, "used": self._batch.used, "rounds": getattr(state, "rounds", state.k)}
        counts["bytes"] = sent * self._problem.x0.nbytes
        self._history.add(self._alive, end, counts, {name: self._of_all(value) for name, value in metrics.items()})
        ended = self._end(~fine, "diverged")  # first: who has diverged has not arrived
        if there is not None:
            ended |= self._end(there, "reached")
        if last or not self._counts.any():
            self.final[self._computed[self._counts]] = state.x[self._counts]
            return False
        if ended:
            self._leave(e)
        return True

    def out_of_time(self) -> None:
        """The runs that have not ended never will."""
        self.status[self._alive] = "timeout"

    def _of_all(self, value: NDArray) -> NDArray:
        """A metric of the runs in the batch as one of all runs (R,), in memory of its own."""
        column = np.zeros(len(self.status), value.dtype)  # a problem may use its memory again, or show a part of the models
        column[self._computed] = value
        return column

    def _end(self, which: NDArray, word: str) -> bool:
        """Those of the runs in the batch that count have ended so; whether there is one."""
        which = which & self._counts
        if not np.count_nonzero(which):
            return False
        runs = self._computed[which]
        self.status[runs] = word
        self.final[runs] = self._batch.state.x[which]
        self._counts = self._counts & ~which
        self._alive = self._alive.copy()  # a new one: the history holds those before
        self._alive[runs] = False
        return True

    def _leave(self, e: int) -> None:
        """Compute no longer what has ended, once that is a quarter of the step sizes."""
        rows = self._counts.reshape(self._S, -1).any(0)
        if self._separable and 4 * np.count_nonzero(rows) <= 3 * len(rows):
            kept = np.flatnonzero(np.tile(rows, self._S))
            self._separable = self._batch.narrow(e, torch.from_numpy(kept).to(self._batch.state.x.device))
            if self._separable:
                self._computed, self._counts, self._limit = self._computed[kept], self._counts[kept], self._limit[kept]
                if self._watch:
                    self._watch.narrow(kept)


def _array(value: Tensor) -> NDArray:
    """The numbers of a tensor, without a copy where they can be shared."""
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _run(
    trace: Trace, rule: Rule, problem: Problem, seeds: Tensor, every: int, arrivals: int, target: Target | None, chunk: int,
    deadline: float, history: History, runs: list[int], report: Callable[[float], object],
) -> None:  # fmt: skip
    """Replay one batch of runs and record it in `history`."""
    batch = Batch(trace, rule, problem, seeds, len(runs) // len(seeds), chunk, arrivals)
    looks = _Looks(batch, problem, target, len(seeds), history)
    ends = [0.0, *trace.end.tolist()]
    e = reported = 0
    while True:
        late = not e & 63 and e < arrivals and time.monotonic() > deadline
        if e % every == 0 or e == arrivals or late:
            go_on = looks.look(e, ends[e], late or e == arrivals)
            if late:
                looks.out_of_time()
            if not go_on:
                break
        stop = min(e - e % every + every, (e | 63) + 1, arrivals)
        batch.advance(e, stop)
        e = stop
        if not e & 255:
            report((e - reported) / arrivals)
            reported = e
    report((arrivals - reported) / arrivals if arrivals else 1.0)
    history.end(runs, looks.final, looks.status)


guard(__name__, costly=True)
