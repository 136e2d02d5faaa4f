"""DuDe-ASGD's table in numbers: how old its rows are, how much noise they let through, and what a straggler costs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asgd_lib.checks import count, non_negative, positive
from asgd_lib.theory.delays import worker_column


def dude_delays(worker: ArrayLike, read: ArrayLike, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(T, n) model delays tau and data delays rho of every row of the table, at each arrival from that which fills it.

    `worker` (E,) and `read` (E,): the columns of a trace. Both are counted in arrivals, as in the paper: tau = 1 for a
    gradient at the model of the step before, rho = 0 for one that has just come. Source: arXiv:2405.16966, the dual
    delays; from the definitions.
    """
    worker, read = worker_column(worker, n, read=read), np.asarray(read)
    step = np.arange(len(worker))[:, None]
    if ((read < 0) | (read > step[:, 0])).any():
        raise ValueError("read must say how many arrivals came before each job's model was read: from 0 to those before its own.")
    last = np.maximum.accumulate(np.where(worker[:, None] == np.arange(n), step, -1))
    full = last.min(axis=1, initial=len(worker)) >= 0
    return (step + 1 - read[last])[full], (step - last)[full]


def dude_noise_factor(seconds: ArrayLike) -> float:
    """kappa = mean(s) mean(1/s) >= 1: DuDe's noise floor over that of SGD, one gradient a step, for small step sizes.

    A gradient of worker i is used for 1/p_i steps with weight 1/n, p_i its share of the arrivals, so the noise of a
    long run has the variance sigma^2 (1/n) sum_i 1/(n p_i) per step. `seconds` (n,) s. Source: derived.
    """
    positive("seconds", seconds)
    s = np.asarray(seconds, dtype=float)
    return float(s.mean() * (1 / s).mean())


def dude_noise_time(seconds: ArrayLike, L_delta_over_eps: float, sigma_sq_over_eps: float) -> float:
    """Seconds until the average of E|grad F|^2 is eps on F = L|x|^2/2, where noise dominates: 2 (L delta/eps) mean(s)
    sigma^2/(n eps).

    With a small step lr the average after T steps is delta/(lr T) + kappa lr L sigma^2/2, least at lr = eps/(kappa L
    sigma^2), kappa the `dude_noise_factor`. Twice the noise term of `lower_bound_time_heterogeneous`.
    Source: derived, with its constant; warm-up and delays are neglected.
    """
    positive("seconds", seconds)
    positive("L_delta_over_eps", L_delta_over_eps)
    non_negative("sigma_sq_over_eps", sigma_sq_over_eps)
    return float(2.0 * L_delta_over_eps * sigma_sq_over_eps * np.mean(seconds) / np.size(seconds))


def dude_straggler_cycles(n: int, reduction: float) -> int:
    """Gradients of a very slow worker, all data alike and no noise, until |grad F| has shrunk by `reduction`: 2 j - 1.

    j = ceil(log(reduction) / log(n - 1)), for n >= 3. The fast workers soon balance the frozen row, x = -x_old/(n - 1),
    and wait; a frozen model is read, computed upon and replaced, one factor 1/(n - 1) for two slow gradients.
    Source: derived, for quadratics.
    """
    positive("reduction", reduction)
    if not reduction > 1:
        raise ValueError(f"reduction must be a number above 1; got {reduction!r}.")
    factors = math.log(reduction) / math.log(count("n", n, least=3) - 1)
    return 2 * math.ceil(factors * (1 - 1e-12)) - 1  # log(125) / log(5) is 3, a last bit above it or not
