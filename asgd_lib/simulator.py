"""The event loop: a cluster, a policy and a rule without coordinates make a trace."""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush

import numpy as np

from asgd_lib.checks import count, non_negative
from asgd_lib.clusters import Cluster
from asgd_lib.methods import Method
from asgd_lib.policies import Job
from asgd_lib.rules import Counter, State
from asgd_lib.trace import LOST, Trace

_LAST_SEED = 2**63 - 1
_PATIENCE = 100_000  # jobs lost in a row, without a bound in seconds, before the workers count as silent


def simulate(
    cluster: Cluster,
    method: Method,
    *,
    arrivals: int | None = None,
    until: float = math.inf,
    seed: int = 0,
    message_bytes: float | None = None,
) -> Trace:
    """Run `method` on `cluster` without computing a gradient, to `arrivals` arrivals or to `until` seconds, whichever is first.

    Equal times are processed in the order in which the jobs were handed out. Times, assignments and losses depend on `seed` alone.
    Under a policy that never reads the update counter the trace does not depend on the rule, and the rule is not even run; where the policy
    does, the very rule object is run on a model with zero coordinates.

    A cluster with a network adds the transfers of a message of `message_bytes` (of a model: `problem.x0.nbytes`) to every job that reports.

    Raises ValueError where neither bound is given, a bound makes no sense, a network is not told the size of its messages, or the workers
    fall silent before `arrivals` is reached.
    """
    if arrivals is None and until == math.inf:
        raise ValueError("Say how long to simulate: arrivals=20_000, or until=3600.0 (seconds).")
    arrivals = count("arrivals", arrivals) if arrivals is not None else None
    if until != math.inf:
        non_negative("until", until)
    if hasattr(cluster, "transfer"):
        if message_bytes is None:
            raise ValueError("This cluster has a network: say how large a message is, message_bytes=problem.x0.nbytes.")
        non_negative("message_bytes", message_bytes)
    elif message_bytes is not None:
        raise ValueError("message_bytes needs a cluster with a network: clusters.Network(cluster, clusters.Link(latency, bandwidth)).")
    loop = _Loop(cluster, method, count("seed", seed, least=0, most=_LAST_SEED), message_bytes)
    loop.run(arrivals, until)
    if arrivals is not None and until == math.inf and len(loop.arrived) < arrivals:
        raise ValueError(
            f"Only {len(loop.arrived)} of {arrivals} arrivals can happen: the workers that {method.policy!r} waits for never answer. "
            "Ask for fewer arrivals, bound the run by until= seconds, or change the cluster."
        )
    meta = {"source": "simulated", "cluster": repr(cluster), "policy": repr(method.policy), "method": method.label, "seed": str(seed)}
    return loop.trace(meta if message_bytes is None else meta | {"message_bytes": str(message_bytes)})


class _Loop:
    """The state of one simulation; it is also the `View` that policies see."""

    def __init__(self, cluster: Cluster, method: Method, seed: int, message_bytes: float | None):
        self.n, self.seed, self.now = cluster.n, seed, 0.0
        self.arrivals = self.created = self.outstanding = 0
        self.arrived: list[int] = []  # job numbers, in order of arrival
        self.lost: list[tuple] = []
        self._policy, self._clock = method.policy, cluster.clock(seed)
        self._cluster, self._message_bytes = cluster, message_bytes
        self._counter = Counter(method.rule, cluster.n)  # fed only when a policy asks for k
        self._heap: list[tuple[float, int, bool]] = []
        self._worker, self._read, self._start, self._end = [], [], [], []  # by job number
        self._load = [0] * self.n  # jobs that each worker holds
        self._begun = [0] * self.n  # jobs that each worker has begun
        self._queues: dict[int, deque[int]] = {}

    @property
    def idle(self) -> list[int]:
        return [w for w, load in enumerate(self._load) if not load]

    @property
    def k(self) -> int:
        return self._state().k

    def ready(self, worker: int) -> bool:
        rule = self._counter.rule
        return rule.ready(self._state(), worker) if hasattr(rule, "ready") else True

    def _state(self) -> State:
        """The state of the rule without coordinates, after all arrivals so far."""
        counter = self._counter
        for job in self.arrived[len(counter.updates) - 1 :]:
            counter.receive(self._worker[job], self._read[job], self._end[job] - self._start[job])
        return counter.state

    def _transfer(self, worker: int) -> float:
        """Seconds that the job which `worker` begins spends on the network."""
        rule = self._counter.rule
        silent = hasattr(rule, "reports") and not rule.reports(self._state(), worker)
        return 0.0 if silent else self._cluster.transfer(worker, self._message_bytes)

    def run(self, arrivals: int | None, until: float) -> None:
        for worker in range(self.n):
            self._hand_out(worker)
        heap, react = self._heap, self._policy.react
        lost_in_a_row = 0
        while lost_in_a_row < _PATIENCE and heap and heap[0][0] <= until and (arrivals is None or self.arrivals < arrivals):
            self.now, job, delivered = heappop(heap)
            worker = self._worker[job]
            if delivered:
                self.arrived.append(job)
                self.arrivals += 1
                lost_in_a_row = 0
            else:
                lost_in_a_row += until == math.inf
                self.lost.append((job, worker, self._read[job], self._start[job], self.now))
            self.outstanding -= 1
            self._load[worker] -= 1
            if self._load[worker]:
                self._begin(self._queues[worker].popleft())
            ended = Job(job, worker, self._read[job], self._start[job], self.now, not delivered)
            for next_worker in react(ended, self):
                self._hand_out(next_worker)

    def _hand_out(self, worker: int) -> None:
        if not 0 <= worker < self.n:
            raise ValueError(f"{self._policy!r} named worker {worker!r}; the workers are numbered 0..{self.n - 1}.")
        job = self.created
        self.created += 1
        self.outstanding += 1
        self._worker.append(worker)
        self._read.append(self.arrivals)
        self._start.append(math.nan)
        self._end.append(math.inf)
        self._load[worker] += 1
        if self._load[worker] == 1:
            self._begin(job)
        else:
            self._queues.setdefault(worker, deque()).append(job)

    def _begin(self, job: int) -> None:
        worker = self._worker[job]
        index = self._begun[worker]
        self._begun[worker] += 1
        self._start[job] = self.now
        seconds, delivered = self._clock(worker, index, self.now)
        if self._message_bytes is not None:
            seconds += self._transfer(worker)
        if seconds < math.inf:
            self._end[job] = self.now + seconds
            heappush(self._heap, (self.now + seconds, job, delivered))

    def trace(self, meta: dict[str, str]) -> Trace:
        order = np.array(self.arrived, dtype=np.int64)
        columns = [np.array(c)[order] if len(order) else np.empty(0) for c in (self._worker, self._read, self._start, self._end)]
        known = np.zeros(self.created, bool)
        known[order] = True
        known[[row[0] for row in self.lost]] = True
        flying = [(j, self._worker[j], self._read[j], self._start[j], math.inf) for j in np.flatnonzero(~known).tolist()]
        lost = np.array(sorted(self.lost + flying), dtype=LOST)
        worker, read, start, end = columns
        return Trace(self.n, order, worker, read, start, end, lost=lost, meta=meta)
