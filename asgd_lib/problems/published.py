"""Problems of published experiments, drawn as their authors' code draws them."""

from __future__ import annotations

import numpy as np
import torch

from asgd_lib.checks import count
from asgd_lib.problems.linear import LeastSquares


def delay_independent_least_squares(
    n: int = 40, batch: int = 256, *, samples: int = 10_000, features: int = 400, dtype: torch.dtype = torch.float64
) -> LeastSquares:
    """Least squares of arXiv:2206.07638's experiment: f(x) = 1/2 mean_j (a_j'x - b_j)^2, each of `n` workers sampling from all rows.

    A (`samples`, `features`) is uniform on [0, 1) / sqrt(d), b = A x + 1e-5 noise with x and noise standard normal, from numpy's generator
    of seed 42, after the five seeds that the authors draw first. x0 is 0. Two differences: rows of a minibatch are drawn with replacement
    (theirs without, which leaves 97 % of the noise), and a worker's draws follow the run's seed. Source: the authors' notebook,
    github.com/konstmish/asynchronous_sgd. Raises ValueError for counts below 1.
    """
    for name, value in (("n", n), ("samples", samples), ("features", features)):
        count(name, value)
    draw = np.random.default_rng(42)
    for _ in range(5):
        draw.choice(424242, size=1, replace=False)
    A = draw.uniform(size=(samples, features)) / features**0.5
    b = A @ draw.normal(size=features) + 1e-5 * draw.normal(size=samples)
    return LeastSquares(torch.from_numpy(A).to(dtype), torch.from_numpy(b).to(dtype), [np.arange(samples)] * n, batch)
