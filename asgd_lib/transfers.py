"""What a job spends on the network, in simulated and in real runs."""

from __future__ import annotations

from asgd_lib.clusters import Cluster
from asgd_lib.rules import Rule, State


class Transfers:
    """Seconds of messages, of a method on a cluster with a network.

    A rule without collectives pays one transfer for every job that reports. One with them (DASO) pays an all-reduce within the node; an
    all-reduce between the nodes begins when the last of them has sent and the one before has ended, and the job that needs its result waits
    for what is left of it, and for a broadcast in the node.

    Raises ValueError where rule and cluster disagree on the size of a node.
    """

    def __init__(self, cluster: Cluster, rule: Rule, message_bytes: float):
        self._cluster, self._rule, self._bytes = cluster, rule, message_bytes
        self._sums: list[float] = []  # s, when each collective between nodes ended
        groups = getattr(rule, "per_node", None), getattr(cluster, "per_node", None)
        if None not in groups and groups[0] != groups[1]:
            raise ValueError(f"The method has {groups[0]} workers a node and the cluster {groups[1]}: say per_node={groups[1]} to both.")

    def seconds(self, state: State, worker: int, now: float) -> float:
        """Seconds that the job which `worker` begins at `now` spends on the network."""
        rule, cluster, size = self._rule, self._cluster, self._bytes
        silent = hasattr(rule, "reports") and not rule.reports(state, worker)
        if not hasattr(rule, "collective"):
            return 0.0 if silent else cluster.transfer(worker, size)
        number, share = rule.collective(state)
        if number > len(self._sums):
            self._sums.append(max([now, *self._sums[-1:]]) + cluster.all_reduce(share * size))
        needed = rule.awaits(state, worker)
        waiting = 0.0 if needed is None else max(0.0, self._sums[needed] - now) + cluster.broadcast(size)
        return waiting + (0.0 if silent else cluster.inside(size))
