"""The event loop: a cluster, a policy and a rule without coordinates make a trace."""

from __future__ import annotations

import math
from heapq import heappop, heappush, heapreplace

from asgd_lib.arguments import guard
from asgd_lib.checks import count, non_negative
from asgd_lib.clusters import Cluster
from asgd_lib.dispatch import Dispatch
from asgd_lib.methods import Method
from asgd_lib.policies import Greedy
from asgd_lib.rules import Counter, State
from asgd_lib.trace import Trace
from asgd_lib.transfers import Transfers

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

    A cluster with a network adds the transfers of messages of `message_bytes` (of a model: `problem.x0.nbytes`) to the jobs (`Transfers`).

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


def depends_on_rule(cluster: Cluster, method: Method) -> bool:
    """Whether a trace may depend on the method's rule, and not on its policy alone: not where every worker starts again at once."""
    return type(method.policy) is not Greedy or hasattr(cluster, "transfer")


class _Loop(Dispatch):
    """One simulation: a heap of the jobs that have begun."""

    def __init__(self, cluster: Cluster, method: Method, seed: int, message_bytes: float | None):
        super().__init__(cluster.n, method.policy, seed)
        self._clock = cluster.clock(seed)
        self._counter = Counter(method.rule, cluster.n)  # fed only when a policy asks for k
        self._heap: list[tuple[float, int, bool]] = []
        self._greedy = not depends_on_rule(cluster, method)
        self._transfers = None if message_bytes is None else Transfers(cluster, method.rule, message_bytes)

    @property
    def k(self) -> int:
        return self._state().k

    def ready(self, worker: int) -> bool:
        rule = self._counter.rule
        return rule.ready(self._state(), worker) if hasattr(rule, "ready") else True

    def age(self, worker: int) -> int | None:
        job = self.computing(worker)
        return None if job is None else self._state().k - self._counter.updates[self.read[job]]

    def _state(self) -> State:
        """The state of the rule without coordinates, after all arrivals so far."""
        counter = self._counter
        for job in self.arrived[len(counter.updates) - 1 :]:
            counter.receive(self.worker[job], self.read[job], self.end[job] - self.start[job])
        return counter.state

    def begin(self, job: int, index: int) -> None:
        worker = self.worker[job]
        seconds, delivered = self._clock(worker, index, self.now)
        if self._transfers is not None:
            seconds += self._transfers.seconds(self._state(), worker, self.now)
        if self.policy_limit is not None and seconds > (limit := self.policy_limit(worker)):
            seconds, delivered = limit, False
        if seconds < math.inf:
            heappush(self._heap, (self.now + seconds, job, delivered))

    def run(self, arrivals: int | None, until: float) -> None:
        self.start_all()
        most = math.inf if arrivals is None else arrivals
        if self._greedy:
            return self._run_greedy(most, until)
        heap, ends, lost_in_a_row = self._heap, self.end, 0
        while lost_in_a_row < _PATIENCE and heap and heap[0][0] <= until and self.arrivals < most:
            end, job, delivered = heappop(heap)
            if ends[job] < math.inf:
                continue  # cancelled before it ended
            self.now = end
            lost_in_a_row = 0 if delivered else lost_in_a_row + (until == math.inf)
            self.finish(job, delivered)

    def _run_greedy(self, most: float, until: float) -> None:
        """What `run` does where every worker starts again at once, three times as fast: nobody is asked and nothing queues."""
        heap, clock, lost_in_a_row = self._heap, self._clock, 0
        workers, reads, starts, ends, begun, arrived = self.worker, self.read, self.start, self.end, self.begun, self.arrived
        while lost_in_a_row < _PATIENCE and heap and heap[0][0] <= until and len(arrived) < most:
            now, job, delivered = heap[0]
            worker = workers[job]
            ends[job] = now
            if delivered:
                arrived.append(job)
                lost_in_a_row = 0
            else:
                self.lost.append((job, worker, reads[job], starts[job], now))
                lost_in_a_row += until == math.inf
            index = begun[worker]
            begun[worker] = index + 1
            seconds, delivered = clock(worker, index, now)
            if seconds < math.inf:
                heapreplace(heap, (now + seconds, len(workers), delivered))
            else:
                heappop(heap)
            workers.append(worker)
            reads.append(len(arrived))
            starts.append(now)
            ends.append(math.inf)
            self.now = now
        self.arrivals, self.created = len(arrived), len(workers)
        self.outstanding = self.created - self.arrivals - len(self.lost)


guard(__name__, costly=True)
