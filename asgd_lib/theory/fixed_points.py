"""Where methods come to rest, for small step sizes, when the workers' data and speeds differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asgd_lib.checks import count, finite, non_negative, positive
from asgd_lib.theory.delays import arrival_shares, worker_column


def uniform_weights(n: int) -> NDArray[np.float64]:
    """(n,) each 1/n: the weights of minibatch SGD, DuDe and Rescaled ASGD, whose fixed point is the minimiser of (1/n)
    sum_i f_i.
    """
    return np.full(count("n", n), 1.0 / n)


def adaptive_weights(seconds: ArrayLike) -> NDArray[np.float64]:
    """(n,) weight of each worker in delay-adaptive ASGD, p_i min(1, n p_i), for the step lr min(1, n / tau): the slow
    lose twice, arriving rarely and late.

    `seconds` (n,) s; p_i are the `arrival_shares`. Not normalised; `fixed_point` needs no normalisation.
    Source: derived, tau = delay + 1 taken at its mean 1/p_i. That is exact where a worker's tau is constant or never
    above n, else an approximation, as the mean of min(1, n / tau) differs from min(1, n / mean tau);
    `measured_adaptive_weights` is exact on a given trace.
    """
    p = arrival_shares(seconds)
    return p * np.minimum(1.0, len(p) * p)


def measured_adaptive_weights(worker: ArrayLike, delays: ArrayLike, n: int) -> NDArray[np.float64]:
    """(n,) weight of each worker in delay-adaptive ASGD along a trace: the sum of its arrivals' min(1, n / tau) / E.

    `worker` (E,) and `delays` (E,) of the arrivals, fresh = 0 (tau = delay + 1): `trace.worker` and `trace.delays`.
    Source: derived from the step lr min(1, n / tau). Raises ValueError where shapes do not fit.
    """
    worker, delays = worker_column(worker, n, delays=delays), np.asarray(delays)
    non_negative("delays", delays)
    return np.bincount(worker, np.minimum(1.0, n / (delays + 1.0)), minlength=n) / len(worker)


def fixed_point(A: ArrayLike, b: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """(d,) solution x of sum_i w_i (A_i x - b_i) = 0: where a method rests that gives worker i's gradients the weight
    w_i.

    The objective is that of `problems.Quadratic`: f_i(x) = 1/2 x'A_i x - b_i'x with `A` (n, d) diagonals or (n, d, d),
    `b` (n, d); so for f_i = a_i/2 (x - c_i)^2 pass b_i = a_i c_i. `weights` (n,), not all zero. Weights:
    `arrival_shares` for ASGD, `adaptive_weights` for delay-adaptive ASGD, `uniform_weights` for minibatch SGD, DuDe and
    Rescaled ASGD. Source: derived, exact as lr -> 0.
    Raises ValueError where shapes do not fit or the weighted A is singular.
    """
    A, b, w = (np.asarray(v, dtype=float) for v in (A, b, weights))
    if b.ndim != 2 or A.shape not in (b.shape, (*b.shape, *b.shape[1:])) or w.shape != b.shape[:1]:
        shapes = f"{b.shape}, {A.shape} and {w.shape}"
        raise ValueError(f"fixed_point needs b (n, d), A (n, d) or (n, d, d) and weights (n,); got {shapes}.")
    non_negative("weights", w)
    positive("the sum of weights", w.sum())
    finite("A", A.ravel())
    finite("b", b.ravel())
    matrix = np.tensordot(w, A, 1)
    matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
    if np.linalg.matrix_rank(matrix) < len(matrix):
        raise ValueError("The weighted sum of the A_i is singular, so that there is no single fixed point.")
    return np.linalg.solve(matrix, w @ b)
