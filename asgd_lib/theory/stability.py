"""Largest stable constant step size on a quadratic, in units of 1/L, with equal speeds (workers arrive in turn)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from asgd_lib.checks import count, finite, inside, positive


def linear_recursion_radius(lr: float, weights_by_delay: ArrayLike) -> float:
    """Spectral radius of x_{k+1} = x_k - lr sum_a w_a x_{k-a}: below 1, x_k tends to 0 at this linear rate per step.

    `lr` in units of 1/curvature (pass lr times an eigenvalue); `weights_by_delay` (D + 1,): w_0, ..., w_D. The radius
    is the largest modulus of the roots of z^{D+1} - z^D + lr sum_a w_a z^{D-a}. Source: derived. Raises ValueError
    where a number is not finite.
    """
    finite("lr", lr)
    finite("weights_by_delay", weights_by_delay)
    weights = np.atleast_1d(np.asarray(weights_by_delay, dtype=float))
    polynomial = np.concatenate([[1.0, -1.0], np.zeros(len(weights) - 1)])
    polynomial[1:] += float(lr) * weights
    return float(np.abs(np.roots(polynomial)).max(initial=0.0))


def critical_step(weights_by_delay: ArrayLike) -> float:
    """Smallest lr (times 1/L) at which x_{k+1} = x_k - lr sum_a w_a x_{k-a} stops being stable, by bisection on the
    spectral radius.

    `weights_by_delay` (D + 1,), with a positive sum. Relative accuracy about 1e-10. Source: derived.
    Raises ValueError where no step size is stable.
    """
    finite("weights_by_delay", weights_by_delay)
    weights = np.atleast_1d(np.asarray(weights_by_delay, dtype=float))
    positive("the sum of weights_by_delay", weights.sum())
    low = 1e-6 / (weights.sum() * len(weights))
    if linear_recursion_radius(low, weights) >= 1:
        raise ValueError("No small step size is stable with these weights; nearly all of their sum should be positive.")
    return first_unstable(lambda lr: linear_recursion_radius(lr, weights), low)


def first_unstable(radius: Callable[[float], float], stable: float) -> float:
    """The smallest lr at which the spectral radius `radius(lr)` reaches 1, to about 1e-10, by bisection upwards from a `stable` one.

    Where `stable` is not (near momentum 1), from the first of its tenths that is; ValueError where the first twenty are not.
    """
    stable = next((lr for lr in (stable * 0.1**tenth for tenth in range(20)) if radius(lr) < 1), 0.0)
    if not stable:
        raise ValueError("No small step size is stable, as far as the arithmetic can tell; take a momentum less near to 1.")
    low = high = stable
    while radius(high) < 1:
        low, high = high, 1.1 * high
    while high - low > 1e-11 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if radius(middle) < 1 else (low, middle)
    return 0.5 * (low + high)


def critical_step_asgd(n: int) -> float:
    """Critical step of ASGD, times 1/L: 2 sin(pi / (2 (2 n - 1))), about pi / (2 n).

    The delay is constantly n - 1 when the speeds are equal; the same value holds for the eigenvalue L of any quadratic.
    Source: derived, z^n - z^{n-1} + lr = 0 crosses the unit circle there.
    """
    return 2.0 * math.sin(math.pi / (2 * (2 * count("n", n) - 1)))


def critical_step_dude(n: int) -> float:
    """Critical step of DuDe-ASGD, times 1/L: 2 n sin(phi)^2 / sin(n phi) with phi = pi / (2 (3 n - 2)), about (pi^2 /
    9) / n for many workers.

    The table's mean weighs the models of n - 1, ..., 2 n - 2 steps ago equally, see `delay_weights_dude`. n = 4 gives
    0.333.
    Source: derived, closed form of `critical_step(delay_weights_dude(n))`.
    """
    phi = math.pi / (2 * (3 * count("n", n) - 2))
    return 2.0 * n * math.sin(phi) ** 2 / math.sin(n * phi)


def critical_step_minibatch(n: int, summed: bool = False, momentum: float = 0.0) -> float:
    """Critical step of minibatch SGD, times 1/L: 2 (1 + beta) where the server steps with the mean of n gradients, an
    n-th of it with their sum; beta is heavy-ball `momentum`.

    The methods of this library take the mean; the delay-independent paper's experiment takes the sum, which is how its
    step size compares with ASGD's, gradient by gradient. Source: derived.
    """
    inside("momentum", momentum, 0.0, 1.0, open_high=True)
    return 2.0 * (1.0 + momentum) / (count("n", n) if summed else 1)
