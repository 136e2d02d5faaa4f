"""The constants in the bounds, of a given problem: L, sigma^2, zeta^2 and delta; exact where the problem knows them,
measured elsewhere.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from asgd_lib.checks import count, finite, positive
from asgd_lib.partition.report import Objective, gradient_dissimilarity

_BLOCK = 32  # draws computed at once


class Measurable(Protocol):
    """What is asked of a problem: `problems.base.Problem`, but for its memory. (Theory knows no engine.)"""

    n: int
    x0: Tensor

    def grad(self, x: Tensor, worker: Tensor, job: Tensor, seed: Tensor) -> Tensor:
        """Stochastic gradients, (m, R, d)."""

    def full_grad(self, x: Tensor, worker: int | None = None) -> Tensor:
        """The exact gradient of f_worker, or of F."""

    def metrics(self, x: Tensor) -> dict[str, Tensor]:
        """Exact values at `x` (R, d), each (R,): at least `loss`."""


class Constants(NamedTuple):
    """What the theorems ask of a problem, at one point."""

    L: float  # smoothness
    delta: float  # F(x0) - inf F
    sigma_sq: float  # mean over workers of E|g_i - grad f_i|^2
    zeta_sq: float  # mean over workers of |grad f_i - grad F|^2


def problem_constants(
    problem: Measurable, minimum: float | None = None, x: Tensor | None = None, draws: int = 256, seed: int = 0
) -> Constants:
    """All four, delta with `minimum` as in `initial_gap`, the others at `x` (d,) (default x0) as in the functions below."""
    sigma_sq = gradient_variance(problem, x, draws, seed)
    return Constants(smoothness(problem, x), initial_gap(problem, minimum), sigma_sq, dissimilarity(problem, x))


def smoothness(problem: Objective, x: Tensor | None = None, steps: int = 50, radius: float = 1e-3, seed: int = 0) -> float:
    """`problem.L` where it has one, else the largest |grad F(x + v) - grad F(x)| / |v| along a power iteration with |v| = `radius`.

    Measured, this is the size of the largest curvature of F near `x` (d,) (default x0), from below; L bounds it everywhere.
    """
    if hasattr(problem, "L"):
        return float(problem.L)
    x = _point(problem, x)
    positive("radius", radius)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)
    here, largest = problem.full_grad(x), 0.0
    for _ in range(count("steps", steps)):
        v = v * (radius / v.norm())
        v = problem.full_grad(x + v) - here
        largest = max(largest, float(v.norm()) / radius)
        if not v.any():
            break
    return largest


def initial_gap(problem: Measurable, minimum: float | None = None) -> float:
    """delta = F(x0) - inf F; inf F is `minimum`, or what the problem knows. ValueError where neither says, or F(x0) is below it."""
    minimum = getattr(problem, "minimum", None) if minimum is None else minimum
    if minimum is None:
        raise ValueError("This problem does not know its minimum: pass minimum=..., for losses minimum=0.0 is a bound.")
    finite("minimum", minimum)
    start = float(problem.metrics(problem.x0[None])["loss"][0])
    if start < minimum and not math.isclose(start, minimum, rel_tol=1e-6):  # by more than rounding
        raise ValueError(f"minimum must be at most F(x0) = {start:.6g}, for nothing is below an infimum; got {minimum!r}.")
    return max(start - float(minimum), 0.0)


def gradient_variance(problem: Measurable, x: Tensor | None = None, draws: int = 256, seed: int = 0) -> float:
    """sigma^2, the mean over workers of E|g_i(x) - grad f_i(x)|^2 at `x` (d,) (default x0).

    Exact for quadratics, otherwise the mean over `draws` minibatches of each worker.
    """
    if hasattr(problem, "sigma"):
        return float(problem.sigma) ** 2
    x, total = _point(problem, x), 0.0
    seeds = torch.tensor([count("seed", seed, least=0)], device=x.device)
    for worker in range(problem.n):
        exact = problem.full_grad(x, worker)
        for jobs in torch.arange(count("draws", draws), device=x.device).split(_BLOCK):
            at = x.expand(len(jobs), 1, -1)
            grads = problem.grad(at, torch.full_like(jobs, worker), jobs, seeds)[:, 0]
            total += float((grads - exact).double().square().sum())
    return total / (problem.n * draws)


def dissimilarity(problem: Measurable, x: Tensor | None = None) -> float:
    """zeta^2, the mean over workers of |grad f_i(x) - grad F(x)|^2 at `x` (d,) (default x0); exact."""
    return gradient_dissimilarity(problem, problem.n, x)


def _point(problem: Objective, x: Tensor | None) -> Tensor:
    if x is None:
        return problem.x0
    if tuple(x.shape) != tuple(problem.x0.shape):
        raise ValueError(f"x must have shape {tuple(problem.x0.shape)}, as x0 has; got {tuple(x.shape)}.")
    return x.to(problem.x0)
