"""Seconds to reach E|grad F|^2 <= eps when worker i always takes `seconds[i]`: orders, with every constant set to 1.

All take `L_delta_over_eps` = L delta / eps (steps that a noiseless method would need) and `sigma_sq_over_eps` = sigma^2
/ eps (gradients that average the noise away); both without units. Results in seconds, up to a constant: compare them
with each other, not with a clock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asgd_lib.checks import count, non_negative, positive


def in_order(seconds: ArrayLike, L_delta_over_eps: float = 1.0, sigma_sq_over_eps: float = 0.0) -> NDArray[np.float64]:
    """(n,) the workers' times, rising; ValueError where one of the three arguments makes no sense."""
    positive("seconds", seconds)
    positive("L_delta_over_eps", L_delta_over_eps)
    non_negative("sigma_sq_over_eps", sigma_sq_over_eps)
    return np.sort(np.atleast_1d(np.asarray(seconds, dtype=float)))


def throughput_ratio(seconds: ArrayLike) -> float:
    """Gradients that always-busy workers collect for each one of minibatch SGD, in the same time: mean_i(s_max / s_i)
    >= 1.

    Source: derived from sum_i floor(t / s_i) against n floor(t / s_max), as printed in arXiv:2206.07638's wall-clock
    argument; exact as t grows.
    """
    positive("seconds", seconds)
    s = np.asarray(seconds, dtype=float)
    return float(np.mean(s.max() / s))


def time_minibatch(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """Minibatch SGD: s_max (L delta/eps) (1 + sigma^2/(n eps)).

    Source: as printed in the time-complexity papers (Tyurin and Richtarik 2023 and later); order only.
    """
    s = in_order(seconds, L_delta_over_eps, sigma_sq_over_eps)
    return float(s[-1] * L_delta_over_eps * (1 + sigma_sq_over_eps / len(s)))


def time_asgd(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """ASGD, homogeneous data: (mean_i 1/s_i)^{-1} (L delta/eps) (1 + sigma^2/(n eps)), the harmonic mean where
    minibatch SGD has the maximum.

    Source: as printed for the analysis of arXiv:2206.07638; order only.
    """
    s = in_order(seconds, L_delta_over_eps, sigma_sq_over_eps)
    return float(L_delta_over_eps * (1 + sigma_sq_over_eps / len(s)) / np.mean(1 / s))


def lower_bound_time_homogeneous(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """The best possible, homogeneous data, reached by Rennala SGD: min_m (mean_{i<=m} 1/s_i)^{-1} (L delta/eps) (1 +
    sigma^2/(m eps)), s sorted.

    Source: Tyurin and Richtarik 2023, as printed; order only.
    """
    s = in_order(seconds, L_delta_over_eps, sigma_sq_over_eps)
    m = np.arange(1, len(s) + 1)
    return float(np.min(m / np.cumsum(1 / s) * (1 + sigma_sq_over_eps / m)) * L_delta_over_eps)


def lower_bound_time_heterogeneous(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """The best possible, arbitrarily heterogeneous data, reached by Malenia SGD: (L delta/eps) (s_max + mean(s)
    sigma^2/(n eps)).

    Source: Tyurin and Richtarik 2023, as printed; order only.
    """
    s = in_order(seconds, L_delta_over_eps, sigma_sq_over_eps)
    return float(L_delta_over_eps * (s[-1] + s.mean() * sigma_sq_over_eps / len(s)))


def time_dude(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """DuDe-ASGD, arbitrarily heterogeneous data: the order of `time_minibatch`, s_max (L delta/eps) (1 + sigma^2/(n
    eps)).

    Source: the Ringleader paper's account of IA2SGD ("similar to naive minibatch"); the exact expression is our
    reading; order only.
    """
    return time_minibatch(seconds, L_delta_over_eps, sigma_sq_over_eps)


def round_time_asynchronous(seconds: ArrayLike) -> float:
    """Mean seconds for C gradients where C of the n clients are always busy and each job goes to a uniformly drawn
    client: mean_i s_i.

    Source: Koloskova, Stich and Jaggi 2022, Lemma 11, as printed. 900 clients of 10 s and 100 of 60 s: 15 s.
    """
    positive("seconds", seconds)
    return float(np.mean(np.asarray(seconds, dtype=float)))


def round_time_synchronous(seconds: ArrayLike, clients: int) -> float:
    """Mean seconds of a synchronous round of C = `clients` drawn with replacement: sum_i a_i s_i, a_i = (i^C - (i-1)^C)
    / n^C, s sorted.

    The mean of the slowest of C draws. Source: Koloskova, Stich and Jaggi 2022, Lemma 11, as printed (42.5 s in its
    example, C = 10).
    """
    s = in_order(seconds)
    share = (np.arange(len(s) + 1) / len(s)) ** count("clients", clients)
    return float(np.diff(share) @ s)
