"""What the theorems set: batches, thresholds, step sizes, and the updates that they need; delays count a fresh gradient
as 0.
"""

from __future__ import annotations

import math

from asgd_lib.checks import count, inside, non_negative, positive


def _checked(L: float, eps: float, sigma_sq: float, delta: float = 1.0) -> None:
    for name, value in {"L": L, "eps": eps, "delta": delta}.items():
        positive(name, value)
    non_negative("sigma_sq", sigma_sq)


def gradients_a_step(eps: float, sigma_sq: float) -> int:
    """max(1, ceil(sigma^2 / eps)): the batch of Rennala and Malenia SGD, and Ringmaster's threshold.

    Source: Tyurin and Richtarik 2023 and Ringmaster ASGD 2025, our reading.
    """
    _checked(1.0, eps, sigma_sq)
    return max(1, math.ceil(sigma_sq / eps * (1 - 1e-12)))  # 3 * 0.1 / 0.1 is 3, a last bit above it or not


def rennala_step(L: float, eps: float, sigma_sq: float) -> float:
    """Step size of Rennala SGD: min{1 / L, eps S / (2 L sigma^2)}, S = `gradients_a_step`.

    Source: Tyurin and Richtarik 2023, our reading of the constants.
    """
    _checked(L, eps, sigma_sq)
    return min(1 / L, eps * gradients_a_step(eps, sigma_sq) / (2 * L * sigma_sq)) if sigma_sq else 1 / L


def rennala_updates(L: float, delta: float, eps: float) -> float:
    """Updates of Rennala SGD to E|grad F|^2 <= eps: 24 L delta / eps. Source: as `rennala_step`."""
    _checked(L, eps, 0.0, delta)
    return 24 * L * delta / eps


def ringmaster_step(L: float, eps: float, sigma_sq: float) -> float:
    """Step size of Ringmaster ASGD: min{1 / (2 R L), eps / (4 L sigma^2)}, R = `gradients_a_step`.

    Source: Ringmaster ASGD 2025, our reading of the constants.
    """
    _checked(L, eps, sigma_sq)
    return min(1 / (2 * gradients_a_step(eps, sigma_sq) * L), eps / (4 * L * sigma_sq) if sigma_sq else math.inf)


def ringmaster_updates(L: float, delta: float, eps: float, sigma_sq: float) -> float:
    """Updates of Ringmaster ASGD to E|grad F|^2 <= eps: 8 R L delta / eps + 16 sigma^2 L delta / eps^2. Source: as `ringmaster_step`."""
    _checked(L, eps, sigma_sq, delta)
    return 8 * gradients_a_step(eps, sigma_sq) * L * delta / eps + 16 * sigma_sq * L * delta / eps**2


def tree_step(L: float, eps: float, sigma_sq: float, most_delay: int) -> float:
    """Step size of one theorem for SGD (R' = `most_delay` = 0), Rennala SGD (B - 1) and Ringmaster ASGD (its threshold - 1):
    min{1 / (2 L), 1 / (2 R' L), eps / (4 sigma^2 L)}, for each single gradient.

    Source: Birch SGD 2025, as printed.
    """
    _checked(L, eps, sigma_sq)
    late = count("most_delay", most_delay, least=0)
    return min(1 / (2 * L * max(1, late)), eps / (4 * sigma_sq * L) if sigma_sq else math.inf)


def tree_updates(L: float, delta: float, eps: float, sigma_sq: float, most_delay: int) -> float:
    """Gradients that `tree_step` needs to E|grad F|^2 <= eps: 4 (R' + 1) L delta / eps + 8 sigma^2 L delta / eps^2.

    Source: Birch SGD 2025, as printed.
    """
    _checked(L, eps, sigma_sq, delta)
    return 4 * (count("most_delay", most_delay, least=0) + 1) * L * delta / eps + 8 * sigma_sq * L * delta / eps**2


def ringleader_step(L: float, eps: float, sigma_sq: float, n: int, least_mean: float = 1.0) -> float:
    """Step size of Ringleader ASGD: min{1 / (8 n L), eps B / (10 L sigma^2)}.

    B = `least_mean`, the least harmonic mean over rounds of how many gradients each worker gave. L bounds |grad f(x) - (1/n) sum_i grad
    f_i(y_i)|^2 by (L^2/n) sum_i |x - y_i|^2. Source: Ringleader ASGD 2025, as printed.
    """
    _checked(L, eps, sigma_sq)
    positive("least_mean", least_mean)
    return min(1 / (8 * count("n", n) * L), eps * least_mean / (10 * L * sigma_sq) if sigma_sq else math.inf)


def ringleader_most_delay(n: int) -> int:
    """Updates that a model of Ringleader ASGD's table can be old: 2 n - 2. Source: Ringleader ASGD 2025, as printed."""
    return 2 * count("n", n) - 2


def rate_delay_filter(arrivals: int, share: float, quantile: float, L: float, delta: float, sigma_sq: float) -> float:
    """Bound on the mean E|grad F|^2 of asynchronous mini-batching after T = `arrivals`: L delta tau_q / (q T) + sqrt(L delta
    sigma^2 / (q T)).

    tau_q = `quantile` is the delay (at least 1) that a share q = `share` of the arrivals do not exceed.
    Source: Attia, Gaash and Koren 2025, the order; constants (set to 1) not known.
    """
    _checked(L, 1.0, sigma_sq, delta)
    inside("share", share, 0.0, 1.0, open_low=True)
    inside("quantile", quantile, 1.0, math.inf, open_high=True)
    useful = share * count("arrivals", arrivals)
    return L * delta * quantile / useful + math.sqrt(L * delta * sigma_sq / useful)
