"""Many methods on equal terms: the same simulated time, the same step sizes, the same luck."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from asgd_lib.checks import count, positive
from asgd_lib.clusters import Cluster
from asgd_lib.fingerprint import content_key
from asgd_lib.history import concat
from asgd_lib.methods import METHODS, Method
from asgd_lib.problems import Problem
from asgd_lib.replayer import replay
from asgd_lib.simulator import simulate


def race(
    names: Sequence[str],
    lrs: Sequence[float],
    cluster: Callable[[int], Cluster],
    problem: Callable[[int], Problem],
    *,
    until: float,
    seeds: Iterable[int] = (0,),
    checkpoints: int = 6,
) -> pd.DataFrame:
    """Run every method of `names` at every step size of `lrs` for `until` simulated seconds, seed by seed.

    `cluster(seed)` and `problem(seed)` may draw speeds and partitions, so that an interval over seeds covers them; within a seed all
    methods meet the same workers, the same data and, policy by policy, the same trace. Returns one history, each method's runs evaluated
    at about `checkpoints` equally spaced arrivals of its own. Raises ValueError for numbers that make no sense.
    """
    positive("until", until)
    if not len(names):
        raise ValueError("A race needs at least one method.")
    positive("lrs", list(lrs))
    seeds = [count("every seed", seed, least=0) for seed in seeds]
    if not seeds:
        raise ValueError("A race needs at least one seed.")
    parts = []
    for seed in seeds:
        workers, objective = cluster(seed), problem(seed)
        for name in names:
            methods = [METHODS[name](lr=float(lr)) for lr in lrs]
            trace = simulate(workers, methods[0], until=until, seed=seed)
            every = max(1, -(-len(trace) // count("checkpoints", checkpoints)))
            parts.append(replay(trace, methods, objective, seeds=[seed], every=every))
    return concat(parts)


def batches(
    methods: Mapping[str, Sequence[Method]], cluster: Cluster, problem: Problem, *, arrivals: int, seeds: Iterable[int] = (0,), every: int
) -> dict[str, pd.DataFrame]:
    """label -> history: the methods under each label, say the step sizes of one, as one batch for `arrivals` gradients.

    The methods under a label share the trace that their policy makes on `cluster`, so they must share the policy. ValueError otherwise.
    """
    histories = {}
    for label, group in methods.items():
        policies = {content_key(method.policy) for method in group}
        if len(policies) != 1:
            raise ValueError(f"{label!r} must hold methods of one policy, at least one; got {', '.join(sorted(policies)) or 'none'}.")
        trace = simulate(cluster, group[0], arrivals=arrivals)
        histories[label] = replay(trace, list(group), problem, seeds=seeds, every=every)
    return histories
