"""The largest stable step size, found from outside: sweeps of noiseless runs through the public interface."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from asgd_lib.arguments import guard
from asgd_lib.checks import count, inside, positive
from asgd_lib.clusters import Cluster
from asgd_lib.history import stable_lr
from asgd_lib.methods import Method
from asgd_lib.problems import Quadratic
from asgd_lib.replayer import replay
from asgd_lib.simulator import simulate


def critical_lr(
    cluster: Cluster,
    method: Callable[[float], Method],
    *,
    low: float | None = None,
    high: float = 4.0,
    arrivals: int | None = None,
    seed: int = 0,
    steps: int = 33,
) -> float:
    """Largest step size, times 1/L, at which `method(lr)` converges on f_i(x) = L/2 x^2 without noise, all workers alike.

    Two sweeps of `steps` step sizes, the first from `low` (default 1/(4 n)) to `high`, the second between the two neighbours that
    `history.stable_lr` finds; the geometric middle of the last two is returned. Its relative resolution is half of
    log(high / low) / (steps - 1)^2. Stability is judged on `arrivals` gradients (default 300 n, at least 200): enough for every worker to
    deliver several. Raises ValueError where the border does not lie between `low` and `high`.
    """
    n = cluster.n
    low = 0.25 / n if low is None else low
    positive("low", low)
    inside("high", high, low, math.inf, open_high=True)
    arrivals = count("arrivals", 300 * n if arrivals is None else arrivals, least=200)
    unit = Quadratic(torch.ones(n, 1), torch.zeros(n, 1), x0=torch.ones(1))
    trace = simulate(cluster, method(low), arrivals=arrivals, seed=seed)
    for _ in range(2):
        methods = [method(float(lr)) for lr in np.geomspace(low, high, count("steps", steps, least=3))]
        low, high = stable_lr(replay(trace, methods, unit, every=arrivals // 100))
    return float((low * high) ** 0.5)


guard(__name__, costly=True)
