"""The bookkeeping behind a policy: which worker holds which job. Simulated and real runs share it."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from asgd_lib.policies import Job, Policy, Restart
from asgd_lib.trace import LOST, Trace


class Dispatch:
    """Jobs by number, in the order in which they are handed out; it is also the `View` that policies see.

    Whoever runs the clock says how a job begins (`begin`), what the rule counts (`k`, `age`) and whom it lets compute (`ready`), sets `now`
    (s), and calls `finish` when a job has ended.
    """

    def __init__(self, n: int, policy: Policy, seed: int):
        self.n, self.policy, self.seed, self.now = n, policy, seed, 0.0
        self.arrivals = self.created = self.outstanding = 0
        self.arrived: list[int] = []  # job numbers, in order of arrival
        self.lost: list[tuple] = []
        self.worker: list[int] = []  # by job number, as the next three
        self.read: list[int] = []
        self.start: list[float] = []
        self.end: list[float] = []
        self.begun = [0] * n  # jobs that each worker has begun
        self._latest = [-1] * n  # the job that each worker has begun last
        self.policy_limit = getattr(policy, "limit", None)  # worker -> seconds after which a job of it is lost
        self._load = [0] * n  # jobs that each worker holds
        self._queues: dict[int, deque[int]] = {}

    @property
    def idle(self) -> list[int]:
        return [w for w, load in enumerate(self._load) if not load]

    @property
    def k(self) -> int:
        raise NotImplementedError

    def ready(self, worker: int) -> bool:
        raise NotImplementedError

    def computing(self, worker: int) -> int | None:
        """The job that `worker` has begun and not ended."""
        return self._latest[worker] if self._load[worker] else None

    def age(self, worker: int) -> int | None:
        raise NotImplementedError

    def begin(self, job: int, index: int) -> None:
        """The worker of `job` begins it now; it is the `index`-th job of that worker."""
        raise NotImplementedError

    def handed_out(self, job: int) -> None:
        """`job` has just got its number and its worker."""

    def cancelled(self, job: int) -> float:
        """The policy has taken `job` away from its worker; when it was lost (s)."""
        return self.now

    def start_all(self) -> None:
        """Hand out the first jobs: one to every worker, where the policy does not say otherwise."""
        for worker in self.policy.first(self) if hasattr(self.policy, "first") else range(self.n):
            self.hand_out(worker)

    def hand_out(self, worker: int) -> None:
        """Give `worker` a job at the present model, to begin now or, where it is busy, to queue."""
        self._check(worker)
        job = self.created
        self.created += 1
        self.outstanding += 1
        self.worker.append(worker)
        self.read.append(self.arrivals)
        self.start.append(math.nan)
        self.end.append(math.inf)
        self._load[worker] += 1
        self.handed_out(job)
        if self._load[worker] == 1:
            self._begin(job)
        else:
            self._queues.setdefault(worker, deque()).append(job)

    def finish(self, job: int, delivered: bool, end: float | None = None) -> None:
        """`job` has ended (at `end`, default now): its worker begins the next one that it holds, and the policy says who gets a job."""
        worker = self.worker[job]
        end = self.end[job] = self.now if end is None else end
        if delivered:
            self.arrived.append(job)
            self.arrivals += 1
        else:
            self.lost.append((job, worker, self.read[job], self.start[job], end))
        self.outstanding -= 1
        self._load[worker] -= 1
        if self._load[worker]:
            self._begin(self._queues[worker].popleft())
        for answer in self.policy.react(Job(job, worker, self.read[job], self.start[job], end, not delivered), self):
            if type(answer) is Restart:
                self._cancel(answer.worker)
                answer = answer.worker
            self.hand_out(answer)

    def _cancel(self, worker: int) -> None:
        """All that `worker` holds is lost now."""
        self._check(worker)
        queue = self._queues.get(worker, ())
        held = [self._latest[worker], *queue] if self._load[worker] else []
        for job in held:
            end = self.end[job] = self.cancelled(job)
            self.lost.append((job, worker, self.read[job], self.start[job], end))
        self.outstanding -= len(held)
        self._load[worker] = 0
        self._queues.pop(worker, None)

    def _check(self, worker: int) -> None:
        if not 0 <= worker < self.n:
            raise ValueError(f"{self.policy!r} named worker {worker!r}; the workers are numbered 0..{self.n - 1}.")

    def _begin(self, job: int) -> None:
        worker = self.worker[job]
        index = self.begun[worker]
        self.begun[worker] += 1
        self.start[job] = self.now
        self._latest[worker] = job
        self.begin(job, index)

    def trace(self, meta: dict[str, str]) -> Trace:
        """What has arrived so far; every other job is lost, or still in flight."""
        order = np.array(self.arrived, dtype=np.int64)
        columns = [np.array(c)[order] if len(order) else np.empty(0) for c in (self.worker, self.read, self.start, self.end)]
        known = np.zeros(self.created, bool)
        known[order] = True
        known[[row[0] for row in self.lost]] = True
        flying = [(j, self.worker[j], self.read[j], self.start[j], math.inf) for j in np.flatnonzero(~known).tolist()]
        lost = np.array(sorted(self.lost + flying), dtype=LOST)
        worker, read, start, end = columns
        return Trace(self.n, order, worker, read, start, end, lost=lost, meta=meta)
