"""Exact second moments of linear recursions with noise: noise floors, and whole error curves, on quadratics."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asgd_lib.checks import count, finite, non_negative, positive
from asgd_lib.theory.stability import linear_recursion_radius

_MOST_ANGLES = 1 << 22


def noise_floor(lr: float, eigenvalues: ArrayLike, sigma_sq: float, weights_by_delay: ArrayLike = (1.0,)) -> float:
    """Stationary E|grad f(x_k)|^2 of x_{k+1} = x_k - lr sum_a w_a (A x_{k-a} + noise_{k-a}) with E|noise|^2 =
    `sigma_sq`, spread evenly.

    `eigenvalues` (d,) of A; `weights_by_delay` as `delay_weights_asgd(n)` or `delay_weights_dude(n)` (default: no
    delay). For one eigenvalue l and no delay this is lr l sigma_sq / (2 - lr l), which plain SGD has; minibatch SGD has
    it with sigma_sq / n.
    Source: derived, Var x = (1/2 pi) integral of |lr w(t) / (e^{it} - 1 + lr l w(t))|^2, w(t) = sum_a w_a e^{-iat}, by
    the trapezoid rule, whose error is below rounding here. Raises ValueError where the recursion is not stable, and
    where it is so slow, with lr l below some 1e-5, that the rule would need millions of points.
    """
    positive("lr", lr)
    positive("eigenvalues", eigenvalues)
    non_negative("sigma_sq", sigma_sq)
    finite("weights_by_delay", weights_by_delay)
    eigenvalues, weights = np.atleast_1d(np.asarray(eigenvalues, float)), np.atleast_1d(np.asarray(weights_by_delay, dtype=float))
    floor = 0.0
    for value in eigenvalues:
        radius = linear_recursion_radius(lr * value, weights)
        if radius >= 1:
            raise ValueError(f"No noise floor: lr = {lr:g} is unstable at eigenvalue {value:g}; take a smaller lr.")
        angles = max(4 * len(weights), math.ceil(40 / (1 - radius)))  # the error falls like radius^angles
        if angles > _MOST_ANGLES:
            raise ValueError(
                f"lr x eigenvalue = {lr * value:g} is too small to integrate; the floor is then lr eigenvalue sigma_sq / 2 times the sum "
                "of the weights, to a relative error of the order of the product."
            )
        e = np.exp(2j * np.pi * np.arange(angles) / angles)
        w = np.polynomial.polynomial.polyval(1 / e, weights)
        floor += value**2 * float(np.mean(np.abs(lr * w / (e - 1 + lr * value * w)) ** 2))
    return floor * sigma_sq / len(eigenvalues)


def average_grad_norm_sq(
    lr: ArrayLike, curvature: float, sigma_sq: float, x0: float, arrivals: int, weights_by_delay: ArrayLike = (1.0,)
) -> NDArray[np.float64]:
    """Mean of E|f'(x_k)|^2 over k = 0, ..., T-1 for f = `curvature` x^2 / 2 in one dimension, for each step size in
    `lr`.

    T = `arrivals`; noise of variance `sigma_sq` in every gradient; delays as in `noise_floor`, with x_k = x_0 for k <
    0, as when all workers begin at x_0. Source: derived: E x_k^2 = (mean path)^2 + sigma_sq sum of squared impulse
    responses. Exact for ASGD and, after every of its rounds, for minibatch SGD (`sigma_sq` / n); for DuDe, whose first
    step averages n gradients at x_0, exact without noise.
    """
    positive("lr", np.ravel(lr))
    positive("curvature", curvature)
    non_negative("sigma_sq", sigma_sq)
    finite("x0", x0)
    non_negative("weights_by_delay", weights_by_delay)
    positive("the sum of weights_by_delay", np.sum(weights_by_delay))
    steps = count("arrivals", arrivals)
    lr, weights = np.asarray(lr, dtype=float), np.atleast_1d(np.asarray(weights_by_delay, dtype=float))
    lags = np.flatnonzero(weights)
    path = np.empty((steps, *lr.shape))  # E x_k
    response = np.zeros((steps, *lr.shape))  # x_k due to one unit of noise in the first arrival
    path[0] = x0
    for k in range(steps - 1):
        pull = sum(weights[a] * path[max(k - a, 0)] for a in lags)
        back = sum(weights[a] * response[k - a] for a in lags if k >= a)
        noise = weights[k + lags[0]] if k + lags[0] < len(weights) else 0.0
        path[k + 1] = path[k] - lr * curvature * pull
        response[k + 1] = response[k] - lr * (curvature * back + noise)
    variance = sigma_sq * np.cumsum(response**2, 0)
    return curvature**2 * (path**2 + variance).mean(0)
