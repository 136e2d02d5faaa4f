"""Hogwild over local data sets: rounds, the permissible delay, and upper, lower and sharp bounds of E|w - w*|^2.

Symbols: `t` gradients applied so far, `mu` strong convexity of F, `L` smoothness of every realisation, `N` = 2 E|grad f(w*; xi)|^2, steps
lr_t = alpha / (mu (t + E)).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from asgd_lib.checks import count, inside, non_negative, positive


def hogwild_rounds(arrivals: float, samples: float) -> float:
    """Rounds for K = `arrivals` gradients with sizes s_i = `samples` (i + 1): sqrt(2 K / samples). Source: derived, up to one round."""
    positive("arrivals", arrivals)
    positive("samples", samples)
    return math.sqrt(2.0 * arrivals / samples)


def hogwild_permissible_delay(t: float) -> float:
    """Largest delay at iteration `t` that the theory allows: sqrt(t L(t)) with L(t) = 1/ln t - 1/(ln t)^2.

    Source: base theory of arXiv:2010.14763, as printed. Raises ValueError for t <= e, where L(t) is not positive.
    """
    positive("t", t)
    if t <= math.e:
        raise ValueError(f"t must be above e = 2.72, where L(t) begins to be positive; got {t!r}.")
    return math.sqrt(t * (1.0 / math.log(t) - 1.0 / math.log(t) ** 2))


def hogwild_bound(t: ArrayLike, alpha: float, N: float, mu: float) -> np.ndarray:
    """Leading term of the upper bound for growing delays: (4 alpha^2 N / mu^2) / t, dense gradients (D = 1), alpha >= 12.

    Source: base theory of arXiv:2010.14763, Lemma 12, as printed; the O(1/(t ln t)) is left out, its constant is not known to us.
    """
    for name, value in (("t", t), ("N", N), ("mu", mu)):
        positive(name, value)
    inside("alpha", alpha, 12.0, math.inf, open_high=True)
    return 4.0 * alpha**2 * N / mu**2 / np.asarray(t, dtype=float)


def hogwild_log_start(alpha: float, L: float, mu: float) -> float:
    """ln T_0 from which the delays are proved not to matter: 2 (1 + (L + mu) alpha / mu), dense gradients.

    Source: base theory of arXiv:2010.14763, Lemma 12, as printed. The logarithm, because T_0 itself overflows.
    """
    for name, value in (("alpha", alpha), ("L", L), ("mu", mu)):
        positive(name, value)
    return 2.0 * (1.0 + (L + mu) * alpha / mu)


def sgd_bound(t: ArrayLike, N: float, mu: float, L: float, distance_sq: float) -> np.ndarray:
    """Upper bound of serial SGD with lr_t = 2 / (mu (t + E)), E = 4 L / mu: (16 N / mu^2) / (t - T + E) for t >= T, nan before.

    T = (4 L / mu) max(L mu |w_0 - w*|^2 / N, 1) - 4 L / mu. Source: base theory of arXiv:2010.14763, Theorem 2, as printed.
    """
    for name, value in (("N", N), ("mu", mu), ("L", L)):
        positive(name, value)
    non_negative("t", t)
    non_negative("distance_sq", distance_sq)
    E = 4.0 * L / mu
    T = E * max(L * mu * distance_sq / N, 1.0) - E
    steps = np.asarray(t, dtype=float)
    return np.where(steps >= T, 16.0 * N / mu**2 / np.maximum(steps - T + E, E), np.nan)


def sgd_lower_bound(t: ArrayLike, N: float, mu: float) -> np.ndarray:
    """What no diminishing step size beats in the worst case: (N / (2 mu^2)) / t, a factor 32 below `sgd_bound`.

    Source: the factor 32 as printed in the base theory; derived here as the value of the best step, 1 / (mu t), on F = mu/2 |w|^2.
    """
    for name, value in (("t", t), ("N", N), ("mu", mu)):
        positive(name, value)
    return N / (2.0 * mu**2) / np.asarray(t, dtype=float)


def sgd_error_constant(step_constant: float, curvatures: ArrayLike, variances: ArrayLike) -> float:
    """C in E|w_t - w*|^2 ~ C / t for lr_t = c / t: sum_j c^2 S_j / (2 c h_j - 1), c = `step_constant`.

    `curvatures` (d,) eigenvalues h_j of the Hessian at w*, `variances` (d,) the gradient noise S_j along its eigenvectors. Delays of order
    o(t) do not enter. Source: classical (Chung 1954). Raises ValueError unless 2 c h_j > 1 for every j: slower than 1/t otherwise.
    """
    positive("step_constant", step_constant)
    positive("curvatures", curvatures)
    h, S = np.asarray(curvatures, dtype=float), np.asarray(variances, dtype=float)
    if 2.0 * step_constant * h.min() <= 1:
        raise ValueError(f"The step constant must exceed 1 / (2 * smallest curvature) = {0.5 / h.min():g}; got {step_constant:g}.")
    return float((step_constant**2 * S / (2.0 * step_constant * h - 1.0)).sum())


def hogwild_round_ratio(arrivals: int, samples: int) -> float:
    """How many times more rounds constant sizes need than linear ones, both beginning at `samples`: sqrt(K / (2 samples)).

    Source: derived, K / samples over `hogwild_rounds`.
    """
    return count("arrivals", arrivals) / count("samples", samples) / hogwild_rounds(arrivals, samples)


class LogisticFacts(NamedTuple):
    """What the theorems ask of a regularised logistic regression; the arrays are float64."""

    minimiser: np.ndarray  # (d,)
    L: float  # smoothness of the least smooth sample
    mu: float  # l2
    N: float  # 2 E|grad f(w*; xi)|^2, a client drawn evenly and then one of its samples
    curvatures: np.ndarray  # (d,) eigenvalues of the Hessian at w*, rising
    within: np.ndarray  # (d,) variance along each eigenvector of samples about their client's mean gradient
    total: np.ndarray  # (d,) second moment along each eigenvector, clients drawn at random


class Regression(Protocol):
    """What is asked of `problems.LogisticRegression`."""

    n: int
    l2: float
    intercept: bool
    curvature: float  # of the loss in the score, at most: 1/4
    X: Any
    y: Any

    def samples_of(self, worker: int) -> Any:
        """Indices of the samples that `worker` owns."""


def logistic_facts(problem: Regression, steps: int = 30) -> LogisticFacts:
    """The constants of a `problems.LogisticRegression` with an intercept, `l2` > 0 and minibatches of 1, from its data, by Newton's method.

    Source: derived. Raises ValueError for other problems, and where Newton's method has not converged after `steps` steps.
    """
    if problem.curvature != 0.25 or not problem.intercept:
        kind = f"{type(problem).__name__} {'with' if problem.intercept else 'without'} an intercept"
        raise ValueError(f"problem must be a LogisticRegression with an intercept, or these are not its facts; got a {kind}.")
    positive("l2", problem.l2)
    own = [problem.samples_of(c).numpy() for c in range(problem.n)]
    X, y = problem.X.double().numpy(), problem.y.numpy()
    parts = [(np.c_[X[rows], np.ones(len(rows))], y[rows]) for rows in own]
    w = np.zeros(X.shape[1] + 1)

    def gradients(w: np.ndarray) -> list[np.ndarray]:
        return [A * (1 / (1 + np.exp(-A @ w)) - b)[:, None] + problem.l2 * w for A, b in parts]

    def hessian(w: np.ndarray) -> np.ndarray:
        p = [1 / (1 + np.exp(-A @ w)) for A, _ in parts]
        return np.mean([(A.T * (q * (1 - q))) @ A / len(A) for (A, _), q in zip(parts, p, strict=True)], 0) + problem.l2 * np.eye(len(w))

    for _ in range(count("steps", steps)):
        gradient = np.mean([g.mean(0) for g in gradients(w)], 0)
        w = w - np.linalg.solve(hessian(w), gradient)
    if not np.abs(np.mean([g.mean(0) for g in gradients(w)], 0)).max() < 1e-10:
        raise ValueError(f"Newton's method has not converged in {steps} steps; use a larger l2, or scale the features.")
    curvatures, basis = np.linalg.eigh(hessian(w))
    along = [g @ basis for g in gradients(w)]
    total = np.mean([np.square(g).mean(0) for g in along], 0)
    within = np.mean([g.var(0) for g in along], 0)
    largest = max(float(np.square(A).sum(1).max()) for A, _ in parts)
    return LogisticFacts(w, 0.25 * largest + problem.l2, problem.l2, 2 * float(total.sum()), curvatures, within, total)
