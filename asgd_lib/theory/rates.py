"""Convergence rates and step sizes of the theorems. tau_max counts a fresh gradient as 1 (delay + 1), as DuDe's paper
does.
"""

from __future__ import annotations

import math

from asgd_lib.checks import count, non_negative, positive


def _positive(**values: float) -> None:
    for name, value in values.items():
        positive(name, value)


def dude_step(L: float, tau_max: float, n: int, delta: float, arrivals: int) -> float:
    """Step size of DuDe's Theorem 1: 1/2 sqrt(n delta / (L tau_max T)), for T = `arrivals` >= `dude_least_arrivals`.

    `delta` = F(x0) - inf F. Source: IA2SGD version of arXiv:2405.16966, Theorem 1, as printed. Below the least T it is
    still returned.
    """
    _positive(L=L, tau_max=tau_max, delta=delta)
    return 0.5 * math.sqrt(count("n", n) * delta / (L * tau_max * count("arrivals", arrivals)))


def dude_least_arrivals(L: float, delta: float, n: int, tau_max: float) -> float:
    """Server steps from which DuDe's Theorem 1 speaks: 1024 L delta n tau_max. Source: as `dude_step`, as printed."""
    _positive(L=L, delta=delta, tau_max=tau_max)
    return 1024.0 * L * delta * count("n", n) * tau_max


def dude_cautious_step(L: float, tau_max: float) -> float:
    """Largest step size that DuDe's Theorem 1 allows: 1 / (64 L tau_max), `dude_step` at `dude_least_arrivals`. Source:
    derived from both.
    """
    _positive(L=L, tau_max=tau_max)
    return 1.0 / (64.0 * L * tau_max)


def dude_iterations(eps: float, L: float, delta: float, sigma_sq: float, tau_max: float, n: int) -> float:
    """Server steps of DuDe to E|grad F|^2 <= eps: L delta sigma^2 tau_max / (n eps^2) + L delta tau_max / eps.

    Source: our reading, from Theorem 1 with the step tuned with sigma; constants (set to 1) not known. With tau_max
    about 2 n the first term does not depend on n.
    """
    _positive(eps=eps, L=L, delta=delta, tau_max=tau_max)
    non_negative("sigma_sq", sigma_sq)
    return L * delta * tau_max * (sigma_sq / (count("n", n) * eps**2) + 1.0 / eps)


def minimax_gradients(eps: float, L: float, delta: float, sigma_sq: float) -> float:
    """Stochastic gradients, in total, that any first-order method needs for E|grad F|^2 <= eps: L delta/eps + L delta
    sigma^2/eps^2.

    Source: Arjevani et al. 2023 (lower bounds for nonconvex stochastic optimisation), the order; constant 1 is our
    normalisation.
    """
    _positive(eps=eps, L=L, delta=delta)
    non_negative("sigma_sq", sigma_sq)
    return L * delta / eps + L * delta * sigma_sq / eps**2


def rate_nonconvex(arrivals: int, n: int, L: float, delta: float, sigma_sq: float) -> float:
    """Bound on the mean E|grad F|^2 of delay-adaptive ASGD after K = `arrivals`: sqrt(L delta sigma^2 / K) + n L delta
    / K.

    Minibatch SGD has the same after K gradients in batches of n. Source: arXiv:2206.07638, Theorem 3, our reading of
    the order; constants (set to 1) not known.
    """
    _positive(L=L, delta=delta)
    non_negative("sigma_sq", sigma_sq)
    K = count("arrivals", arrivals)
    return math.sqrt(L * delta * sigma_sq / K) + count("n", n) * L * delta / K


def rate_convex(arrivals: int, n: int, L: float, distance: float, sigma_sq: float) -> float:
    """Bound on E F - F* of delay-adaptive ASGD after K = `arrivals`: sigma B / sqrt(K) + n L B^2 / K with B =
    `distance` = |x0 - x*|.

    Source: arXiv:2206.07638, Theorem 3 (convex), our reading of the order; constants (set to 1) not known.
    """
    _positive(L=L, distance=distance)
    non_negative("sigma_sq", sigma_sq)
    K = count("arrivals", arrivals)
    return math.sqrt(sigma_sq / K) * distance + count("n", n) * L * distance**2 / K


def rate_heterogeneous(arrivals: int, n: int, L: float, delta: float, sigma_sq: float, zeta_sq: float) -> float:
    """`rate_nonconvex` plus the floor zeta^2 that no number of gradients removes, where |grad f_i - grad F| <= zeta for
    every worker.

    Source: arXiv:2206.07638, Theorem 4, our reading of the order; constants (set to 1) not known.
    """
    non_negative("zeta_sq", zeta_sq)
    return rate_nonconvex(arrivals, n, L, delta, sigma_sq) + zeta_sq
