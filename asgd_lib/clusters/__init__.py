"""How long a gradient takes, worker by worker: models of the times of a cluster.

Every cluster is a frozen dataclass with `n` workers and a `clock(seed)`. Durations depend on the seed, the worker and how many jobs that
worker has had, so two policies on one seed meet the same luck.
"""

from asgd_lib.arguments import guard
from asgd_lib.clusters.base import Cluster
from asgd_lib.clusters.fixed import Fixed, equal, spread, straggler
from asgd_lib.clusters.network import Link, Network, Nodes
from asgd_lib.clusters.phases import Dropout, Switching
from asgd_lib.clusters.random import Exponential, LogNormal, Pareto, TruncatedNormal, Uniform
from asgd_lib.clusters.recorded import FromTrace

__all__ = [
    "Cluster",
    "Fixed",
    "equal",
    "straggler",
    "spread",
    "Exponential",
    "TruncatedNormal",
    "LogNormal",
    "Pareto",
    "Uniform",
    "Switching",
    "Dropout",
    "FromTrace",
    "Link",
    "Network",
    "Nodes",
]

guard(__name__)
