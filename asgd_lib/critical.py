"""The largest stable step size, found from outside: sweeps of noiseless runs through the public interface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from asgd_lib.checks import count
from asgd_lib.clusters import Cluster
from asgd_lib.history import stable_lr
from asgd_lib.methods import Method
from asgd_lib.problems import Quadratic
from asgd_lib.replayer import replay
from asgd_lib.simulator import simulate


def critical_lr(
    cluster: Cluster, method: Callable[[float], Method], low: float, high: float, *, arrivals: int, seed: int = 0, steps: int = 33
) -> float:
    """Largest step size, times 1/L, at which `method(lr)` converges on f_i(x) = L/2 x^2 without noise, all workers alike.

    Two sweeps of `steps` step sizes, the first from `low` to `high`, the second between the two neighbours that `history.stable_lr` finds;
    the geometric middle of the last two is returned. Its relative resolution is half of log(high / low) / (steps - 1)^2. Stability is
    judged on `arrivals` gradients, at least 200: let every worker deliver several.
    Raises ValueError where the border does not lie between `low` and `high`.
    """
    every = count("arrivals", arrivals, least=200) // 100
    unit = Quadratic(torch.ones(cluster.n, 1), torch.zeros(cluster.n, 1), x0=torch.ones(1))
    trace = simulate(cluster, method(low), arrivals=arrivals, seed=seed)
    for _ in range(2):
        methods = [method(float(lr)) for lr in np.geomspace(low, high, count("steps", steps, least=3))]
        low, high = stable_lr(replay(trace, methods, unit, every=every))
    return float((low * high) ** 0.5)
