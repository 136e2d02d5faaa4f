"""The server of a real run: the policy decides, the rule computes, the journal remembers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from asgd_lib.clusters import Cluster
from asgd_lib.dispatch import Dispatch
from asgd_lib.distributed.lines import Line
from asgd_lib.distributed.machine import Machine, gradient
from asgd_lib.distributed.worker import ABSENT, COMPUTE
from asgd_lib.journal import ARRIVED, BACK, BEGUN, LOST, QUEUED, Event, Journal
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.trace import Trace
from asgd_lib.transfers import Transfers


class Server(Dispatch):
    """Takes what workers send, in the order in which it comes, and remembers it before it applies it.

    A worker's death loses its job; the policy hears of it when the worker is back, as in simulations (`clusters.Dropout`). A frozen worker
    is a slow one. All else follows from what arrived, was lost or came back, and when: a resumed server lives through its journal again.
    """

    def __init__(self, problem: Problem, method: Method, seed: int, cluster: Cluster | None = None, journal: Journal | None = None):
        super().__init__(problem.n, method.policy, seed)
        self.machine = Machine(method, problem.x0, problem.n)
        self.lines: dict[int, Line] = {}
        self.events = 0
        self._problem, self._method, self._journal = problem, method, journal
        self._clock = None if cluster is None else cluster.clock(seed)
        self._transfers = Transfers(cluster, method.rule, problem.x0.nbytes) if hasattr(cluster, "transfer") else None
        self._current: dict[int, int] = {}  # worker -> the job that it has begun
        self._away: dict[int, float] = {}  # worker -> since when (s); its job is lost
        self._past: deque[Event] = deque()

    @property
    def k(self) -> int:
        return self.machine.state.k

    def ready(self, worker: int) -> bool:
        return self.machine.ready(worker)

    def age(self, worker: int) -> int | None:
        job = self.current(worker)
        return None if job is None else self.k - self.machine.reads[job].k

    def handed_out(self, job: int) -> None:
        self.machine.hand_out(job, self.worker[job])
        if self.worker[job] in self._current:
            self._note(QUEUED, job)

    def begin(self, job: int, index: int) -> None:
        worker, seconds, delivered = self.worker[job], 0.0, True
        self._current[worker] = job
        self._note(BEGUN, job)
        if self._clock is not None:
            seconds, delivered = self._clock(worker, index, self.now)
        if self._transfers is not None:
            seconds += self._transfers.seconds(self.machine.state, worker, self.now)
        if self._clock is not None and self.policy_limit is not None and seconds > (limit := self.policy_limit(worker)):
            seconds, delivered = limit, False
        if worker in self.lines and seconds < math.inf:
            self.lines[worker].give(COMPUTE if delivered else ABSENT, job, seconds, self.machine.reads[job].x.cpu())

    def cancelled(self, job: int) -> float:
        worker = self.worker[job]
        if self._current.get(worker) != job:  # it only queued
            self.machine.reads.pop(job)
            self._note(LOST, job, self.now)
            return self.now
        if worker not in self._away:
            self.lost_now(worker)
        del self._current[worker]
        return self._away.pop(worker)

    def expire(self, now: float) -> float:
        """Have the jobs lost that are over their limits at `now` (s); seconds until the next one may be."""
        if self.policy_limit is None:
            return math.inf
        wait = math.inf
        for worker in range(self.n):
            # With injected times the worker itself says when the limit is over.
            if worker in self._current and (self._clock is None or worker not in self.lines):
                left = self.start[self._current[worker]] + self.policy_limit(worker) - now
                if left <= 0:
                    self.now = max(self.now, now)
                    self.back_now(worker)
                wait = min(wait, max(left, 0.0))
        return wait

    def arrived_now(self, job: int, grad: Tensor) -> None:
        """Apply the gradient (1, d) of `job`: first on paper, then in the model, so that no applied gradient is ever unknown."""
        worker = self.worker[job]
        self._note(ARRIVED, job, self.now)
        self.machine.receive(job, worker, self.now - self.start[job], grad)
        del self._current[worker]
        self.finish(job, True)

    def lost_now(self, worker: int) -> None:
        """The job of `worker` will not arrive."""
        self._away[worker] = self.now
        self.machine.reads.pop(self._current[worker])
        self._note(LOST, self._current[worker], self.now)

    def back_now(self, worker: int) -> None:
        """`worker` is there, or there again: what it had begun is lost, and the policy hears of it."""
        if worker not in self._current:
            return
        if worker not in self._away:
            self.lost_now(worker)
        job = self._current.pop(worker)
        self._note(BACK, job, self.now)
        self.finish(job, False, self._away.pop(worker))

    def current(self, worker: int) -> int | None:
        """The job that `worker` has begun and not lost."""
        return None if worker in self._away else self._current.get(worker)

    def relive(self, past: Sequence[Event], checkpoint: Path) -> None:
        """Do again what a journal says; gradients are computed anew from the checkpoint on, or from the beginning where there is none.

        Raises ValueError where the journal does not follow from this method, problem and seed.
        """
        present, known = self.machine, self.machine.load(checkpoint) if checkpoint.exists() else 0
        if known > len(past):
            raise ValueError(f"{checkpoint} is newer than the journal beside it; restore the journal, or delete the checkpoint.")
        nothing = torch.empty(0)
        if known:
            self.machine = Machine(self._method, nothing, self.n)  # counts only: the model comes with the checkpoint
        self._past = deque(past)
        if past:
            self.start_all()
        while self._past:
            if self.events == known:
                self.machine = present
            kind, job, worker, *_ = event = self._past[0]
            begun = self._current.get(worker) if kind == BACK else self.current(worker)
            if kind not in (ARRIVED, LOST, BACK) or begun != job:  # of a job that this method would not have handed out here
                raise self._mismatch(self.events + 1, event)
            self.now = event.end
            if kind == ARRIVED:
                x = self.machine.reads[job].x
                self.arrived_now(job, gradient(self._problem, x, worker, job, self.seed) if self.machine is present else nothing)
            elif kind == LOST:
                self.lost_now(worker)
            else:
                self.back_now(worker)
        self.machine = present
        for worker in sorted(set(self._current) - set(self._away)):
            self.lost_now(worker)

    def trace(self, meta: dict[str, str]) -> Trace:
        self.lost += [self._row(self._current[worker], since) for worker, since in self._away.items()]
        self._away.clear()
        return super().trace(meta)

    def checkpoint(self, path: Path) -> None:
        """Save the model and what outstanding jobs have read, once the disk has the journal."""
        if self._journal is not None:
            self._journal.sync()
        self.machine.save(path, self.events)

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _row(self, job: int, end: float) -> tuple:
        return job, self.worker[job], self.read[job], self.start[job], end

    def _note(self, kind: int, job: int, end: float = math.nan) -> None:
        """Write an event down or, while the past is relived, see that it is the one that happened."""
        event = Event(kind, *self._row(job, end))
        self.events += 1
        if self._past:
            happened = self._past.popleft()
            if repr(event) != repr(happened):  # NaN equals nothing
                raise self._mismatch(self.events, happened)
        elif self._journal is not None:
            self._journal.write(event)

    def _mismatch(self, number: int, happened: Event) -> ValueError:
        return ValueError(
            f"The journal does not follow from this method, problem and seed: its event {number} is {happened}. "
            "Go on with the same ones, or choose another folder."
        )
