"""Clusters whose messages take time: links with a latency and a bandwidth, flat or in nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from asgd_lib.checks import count, non_negative, positive
from asgd_lib.clusters.base import Clock, Cluster, without_network


@dataclass(frozen=True)
class Link:
    """A message of b bytes takes `latency` + b / `bandwidth` seconds; `bandwidth` in bytes/s."""

    latency: float = 0.0
    bandwidth: float = math.inf

    def __post_init__(self):
        non_negative("latency", self.latency)
        if self.bandwidth != math.inf:
            positive("bandwidth", self.bandwidth)

    def seconds(self, message_bytes: float) -> float:
        """Seconds for one message."""
        return self.latency + message_bytes / self.bandwidth

    def ring(self, members: int, message_bytes: float) -> float:
        """Seconds of a bandwidth-optimal all-reduce among `members` in a ring: 2 (m - 1) messages of 1/m of the bytes, one after another.

        Source: Patarasuk and Yuan 2009, ring all-reduce.
        """
        return 2.0 * (members - 1) * self.seconds(message_bytes / members)

    def broadcast(self, members: int, message_bytes: float) -> float:
        """Seconds until a pipelined broadcast has reached all of `members`: m - 1 latencies, and the bytes once."""
        return (members - 1) * self.latency + message_bytes / self.bandwidth if members > 1 else 0.0


@dataclass(frozen=True)
class Network:
    """The workers of `base` behind links: a job that reports takes the transfer down (the model), the compute time, and up (the message).

    `up` and `down`: one `Link` for all, or one a worker; `down` is like `up` by default. Transfers do not share bandwidth, and a worker
    does not compute while it sends.
    """

    base: Cluster
    up: Link | Sequence[Link] = Link()
    down: Link | Sequence[Link] | None = None

    def __post_init__(self):
        without_network(self.base)
        for name in ("up", "down"):
            links = getattr(self, name) if getattr(self, name) is not None else self.up
            links = (links,) * self.base.n if isinstance(links, Link) else links
            if not isinstance(links, Sequence) or len(links) != self.base.n or not all(isinstance(link, Link) for link in links):
                raise ValueError(f"{name} must be one Link, or one for each of the {self.base.n} workers; got {links!r}.")
            object.__setattr__(self, name, tuple(links))

    @property
    def n(self) -> int:
        return self.base.n

    def clock(self, seed: int) -> Clock:
        return self.base.clock(seed)

    def transfer(self, worker: int, message_bytes: float) -> float:
        """Seconds that `worker` spends on one message down and one up."""
        return self.down[worker].seconds(message_bytes) + self.up[worker].seconds(message_bytes)

    def inside(self, message_bytes: float) -> float:
        """Seconds of an all-reduce within a node: none, every worker is a node."""
        return 0.0

    def all_reduce(self, message_bytes: float) -> float:
        """Seconds of a ring all-reduce over all workers, which is as slow as the slowest of the links."""
        return max(link.ring(self.n, message_bytes) for link in self.up)

    def broadcast(self, message_bytes: float) -> float:
        """Seconds of a broadcast within a node: none."""
        return 0.0


@dataclass(frozen=True)
class Nodes:
    """The workers of `base` in nodes of `per_node`: a `local` link within a node, a `between` link out of it.

    A message to or from a server crosses both; a method of collectives (DASO) has ring all-reduces within and between nodes, with one
    transfer of either kind at a time. Workers 0..per_node-1 are node 0, and so on.
    """

    base: Cluster
    per_node: int
    local: Link = Link()
    between: Link = Link()

    def __post_init__(self):
        without_network(self.base)
        count("per_node", self.per_node)
        if self.base.n % self.per_node:
            raise ValueError(f"{self.base.n} workers do not fill nodes of {self.per_node}; choose a divisor.")

    @property
    def n(self) -> int:
        return self.base.n

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.n // self.per_node

    def node(self, worker: int) -> int:
        """The node of `worker`."""
        return worker // self.per_node

    def clock(self, seed: int) -> Clock:
        return self.base.clock(seed)

    def transfer(self, worker: int, message_bytes: float) -> float:
        """Seconds that `worker` spends on one message down and one up."""
        return 2.0 * (self.local.seconds(message_bytes) + self.between.seconds(message_bytes))

    def inside(self, message_bytes: float) -> float:
        """Seconds of a ring all-reduce among the workers of a node."""
        return self.local.ring(self.per_node, message_bytes)

    def all_reduce(self, message_bytes: float) -> float:
        """Seconds of a ring all-reduce among one worker of each node."""
        return self.between.ring(self.nodes, message_bytes)

    def broadcast(self, message_bytes: float) -> float:
        """Seconds until one worker of a node has given its model to the others."""
        return self.local.broadcast(self.per_node, message_bytes)
