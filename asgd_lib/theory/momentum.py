"""Largest stable constant step size with momentum on a quadratic, in units of 1/L, with equal speeds (workers arrive in turn)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asgd_lib.checks import count, inside
from asgd_lib.theory.stability import first_unstable


def critical_step_naive_momentum(n: int, momentum: float) -> float:
    """Critical step of ASGD with naive momentum, times 1/L: of x_{t+1} = (1 + beta) x_t - beta x_{t-1} - lr x_{t-n+1}.

    n = 1 is heavy ball, 2 (1 + beta); `momentum = 0` is `critical_step_asgd`. n = 4 and beta = 0.9 give 0.0348.
    Source: derived; spectral radius of the companion matrix.
    """
    _check(n, momentum)
    return first_unstable(lambda lr: _radius(_naive_step(lr, momentum, n)), 1e-5 / (n + 1))


def critical_step_ormo(n: int, momentum: float) -> float:
    """Critical step of ordered momentum, times 1/L; n = 4 and beta = 0.9 give 0.198.

    From update n on each gradient was computed n - 1 updates ago; it has missed the opening of its bucket's successor except at every n-th
    update, where t is a multiple of n. So the recursion has the period n, and its matrix over one period decides.
    `momentum = 0` is `critical_step_asgd`. Source: derived; spectral radius of the product of n one-step matrices.
    """
    _check(n, momentum)
    return first_unstable(lambda lr: _radius(_ormo_period(lr, momentum, n)), 1e-5 / (n + 1))


def _check(n: int, momentum: float) -> None:
    count("n", n)
    inside("momentum", momentum, 0.0, 1.0, open_high=True)


def _shift(n: int) -> NDArray:
    """(n + 1, n + 1) matrix on (u, x_t, x_{t-1}, ..., x_{t-n+1}): u and x_t stay, the others move down by one."""
    move = np.zeros((n + 1, n + 1))
    move[0, 0] = move[1, 1] = 1.0
    for i in range(2, n + 1):
        move[i, i - 1] = 1.0
    return move


def _naive_step(lr: float, beta: float, n: int) -> NDArray:
    step = _shift(n)
    step[0, 0] = beta
    step[0, n] += lr
    step[1] -= step[0]
    return step


def _ormo_period(lr: float, beta: float, n: int) -> NDArray:
    period = np.eye(n + 1)
    for t in range(n, 2 * n):
        step = _shift(n)
        if (t - 1) % n == 0:
            step[0, 0] = beta
            step[1, 0] -= beta
        late = -(-t // n) + (-(t - n + 1) // n)  # ceil(t / n) - ceil((t - n + 1) / n)
        step[0, n] += beta**late * lr
        step[1, n] -= (1 - beta ** (late + 1)) / (1 - beta) * lr
        period = step @ period
    return period


def _radius(matrix: NDArray) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())
