"""Seconds to E|grad F|^2 <= eps of the methods built for slow workers, how many of the workers to use, and mean seconds
of an update.

Times as in `times`: orders, with every constant set to 1, from `seconds` (n,), `L_delta_over_eps` = L delta / eps and
`sigma_sq_over_eps` = sigma^2 / eps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asgd_lib.checks import count, inside, non_negative, positive
from asgd_lib.theory.times import in_order, lower_bound_time_heterogeneous, lower_bound_time_homogeneous


def time_rennala(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """Rennala SGD, homogeneous data: the best possible, `lower_bound_time_homogeneous`.

    Source: Tyurin and Richtarik 2023, as printed; order only.
    """
    return lower_bound_time_homogeneous(seconds, L_delta_over_eps, sigma_sq_over_eps)


def time_ringmaster(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """Ringmaster ASGD, homogeneous data: the best possible, `lower_bound_time_homogeneous`, as Rennala SGD but without a batch.

    Source: Ringmaster ASGD 2025, as printed; order only.
    """
    return lower_bound_time_homogeneous(seconds, L_delta_over_eps, sigma_sq_over_eps)


def time_malenia(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """Malenia SGD, arbitrarily heterogeneous data: the best possible, `lower_bound_time_heterogeneous`.

    Source: Tyurin and Richtarik 2023, as printed; order only.
    """
    return lower_bound_time_heterogeneous(seconds, L_delta_over_eps, sigma_sq_over_eps)


def time_ringleader(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """Ringleader ASGD, arbitrarily heterogeneous data: (L delta/eps) (s_max + mean(s) sigma^2/(n eps)), as Malenia SGD.

    Source: Ringleader ASGD 2025, as printed; order only.
    """
    return lower_bound_time_heterogeneous(seconds, L_delta_over_eps, sigma_sq_over_eps)


def time_mindflayer(seconds: ArrayLike, limit: ArrayLike, success: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """MindFlayer SGD, random times: min_m (1/m sum_j p_j / (s_j + t_j))^{-1} (sigma^2/(m eps) + (1/m) sum_j p_j) (L delta/eps).

    Sums over the m workers with the largest p_j / (s_j + t_j); `seconds` s_j are the least times, `limit` t_j what is allowed beyond
    them, and `success` p_j the probability that this is enough. With p = 1 and t = 0 it is Rennala's.
    Source: MindFlayer SGD 2024, our reading; order only.
    """
    positive("seconds", seconds)
    non_negative("limit", limit)
    positive("success", success)
    inside("success", success, 0.0, 1.0)
    positive("L_delta_over_eps", L_delta_over_eps)
    non_negative("sigma_sq_over_eps", sigma_sq_over_eps)
    s, t, p = _by_worker(seconds=seconds, limit=limit, success=success)
    order = np.argsort(-p / (s + t), kind="stable")
    rate, chance, m = np.cumsum((p / (s + t))[order]), np.cumsum(p[order]), np.arange(1, len(s) + 1)
    return float(np.min(m / rate * (sigma_sq_over_eps + chance) / m) * L_delta_over_eps)


def equilibrium_time(seconds: ArrayLike, gradients: float, message_seconds: ArrayLike = 0.0) -> float:
    """Seconds after which the best group of workers has made `gradients` gradients: min_k max{max(tau, h)_(k), s / sum_{i<=k} 1/h_i}.

    h = `seconds` a gradient, tau = `message_seconds` a message, s = `gradients`; workers in the order of max(tau_i, h_i).
    Source: Shadowheart SGD 2024, the equilibrium time without compression, as printed; order only.
    """
    positive("seconds", seconds)
    non_negative("gradients", gradients)
    non_negative("message_seconds", message_seconds)
    h, tau = _by_worker(seconds=seconds, message_seconds=message_seconds)
    slow = np.maximum(h, tau)
    order = np.argsort(slow, kind="stable")
    return float(np.min(np.maximum(slow[order], gradients / np.cumsum(1 / h[order]))))


def time_shadowheart(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float, message_seconds: ArrayLike = 0.0) -> float:
    """Shadowheart SGD without compression, homogeneous data: (L delta/eps) times the `equilibrium_time` of sigma^2/eps gradients.

    Its compressed form needs the equilibrium time of the compressor, which is not here. Without messages it is Rennala's time up to a
    factor of two. Source: Shadowheart SGD 2024, our reading; order only.
    """
    positive("L_delta_over_eps", L_delta_over_eps)
    non_negative("sigma_sq_over_eps", sigma_sq_over_eps)
    return L_delta_over_eps * equilibrium_time(seconds, sigma_sq_over_eps, message_seconds)


def lower_bound_time_convex(seconds: ArrayLike, L: float, distance: float, sigma_sq: float, eps: float) -> float:
    """The best possible for E F - F* <= eps, convex F, homogeneous data, reached by accelerated Rennala SGD: min_m (mean_{i<=m}
    1/s_i)^{-1} (sqrt(L) R / sqrt(eps) + sigma^2 R^2 / (m eps^2)), R = `distance` = |x0 - x*|, s sorted.

    Source: Tyurin and Richtarik 2023, as printed; order only.
    """
    s = in_order(seconds)
    for name, value in {"L": L, "distance": distance, "eps": eps}.items():
        positive(name, value)
    non_negative("sigma_sq", sigma_sq)
    m = np.arange(1, len(s) + 1)
    return float(np.min(m / np.cumsum(1 / s) * (math.sqrt(L / eps) * distance + sigma_sq * distance**2 / (m * eps**2))))


def fastest_workers(seconds: ArrayLike, sigma_sq_over_eps: float) -> int:
    """How many of the fastest workers ASGD should use alone: the m that attains `lower_bound_time_homogeneous`, the least of equals.

    Source: "naive optimal ASGD" of Ringmaster ASGD 2025.
    """
    s = in_order(seconds, sigma_sq_over_eps=sigma_sq_over_eps)
    took = (np.arange(1, len(s) + 1) + sigma_sq_over_eps) / np.cumsum(1 / s)
    return int(np.argmax(took <= took.min() * (1 + 1e-12))) + 1  # rounding chooses nobody


def round_time_first_k(seconds: float, n: int, k: int) -> float:
    """Mean seconds of an update of K-sync and of K-async SGD on n workers with exponential times of mean `seconds`: mean (H_n - H_{n-k}).

    k = n is minibatch SGD. Source: Dutta et al. 2018; the mean k-th smallest of n, exact.
    """
    positive("seconds", seconds)
    n = count("n", n)
    return seconds * math.fsum(1 / i for i in range(n - count("k", k, most=n) + 1, n + 1))


def round_time_batch(seconds: float, n: int, k: int) -> float:
    """Mean seconds of an update from any k gradients of n always-busy workers with exponential times of mean `seconds`: k mean / n.

    K-batch-async SGD, and FedBuff. Source: Dutta et al. 2018, exact.
    """
    positive("seconds", seconds)
    return count("k", k) * seconds / count("n", n)


def _by_worker(**given: ArrayLike) -> list[NDArray[np.float64]]:
    """Each of `given` as an array (n,); ValueError unless all have one number, or one a worker."""
    arrays = {name: np.atleast_1d(np.asarray(value, dtype=float)) for name, value in given.items()}
    if len({len(array) for array in arrays.values()} - {1}) > 1:
        numbers = ", ".join(f"{len(array)} {name}" for name, array in arrays.items())
        raise ValueError(f"{', '.join(given)} must each be one number, or one a worker; got {numbers}.")
    return np.broadcast_arrays(*arrays.values())
