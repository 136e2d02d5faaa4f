"""Quadratics whose constants and minimiser are known exactly."""

from __future__ import annotations

from functools import cached_property

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from asgd_lib import rng
from asgd_lib.checks import finite, non_negative
from asgd_lib.inference import lasting

_NOISE = rng.stream("quadratic noise")


class Quadratic:
    """f_i(x) = 1/2 x' A_i x - b_i' x with stochastic gradients A_i x - b_i + N(0, sigma^2/d I), in float64.

    `A`: `(n, d)` diagonals, or `(n, d, d)` symmetric matrices; `b`: `(n, d)`; `sigma^2` is the expected squared norm of the noise; `x0`:
    `(d,)`, zeros by default. Exact attributes: `L` (largest |eigenvalue| of any A_i), `mu` (smallest eigenvalue of their mean),
    `minimiser` `(d,)`, `minimum` (the value there) and `zeta_sq`, the mean squared distance of the workers' gradients from their mean, at
    the minimiser.

    Raises ValueError where shapes do not fit, values are not finite, an A_i is not symmetric, or the mean A is not positive definite.
    """

    def __init__(self, A: ArrayLike, b: ArrayLike, sigma: float = 0.0, x0: ArrayLike | None = None):
        self.A = torch.as_tensor(A, dtype=torch.float64)
        self.b = torch.as_tensor(b, dtype=torch.float64, device=self.A.device)
        shapes = tuple(self.b.shape), tuple(self.A.shape)
        if len(shapes[0]) != 2 or shapes[1] not in (shapes[0], shapes[0] + shapes[0][1:]) or 0 in shapes[0]:
            raise ValueError(f"Quadratic needs b of shape (n, d) and A of (n, d) or (n, d, d); got {shapes[0]} and {shapes[1]}.")
        self.n, self.d = self.b.shape
        x0 = torch.zeros(self.d, dtype=torch.float64) if x0 is None else torch.as_tensor(x0, dtype=torch.float64)
        if x0.shape != (self.d,):
            raise ValueError(f"x0 must have shape ({self.d},); got {tuple(x0.shape)}.")
        for name, value in (("A", self.A), ("b", self.b), ("x0", x0)):
            finite(name, value)
        non_negative("sigma", sigma)
        self.sigma, self.x0 = float(sigma), x0.to(self.A.device)
        self.diagonal = self.A.ndim == 2
        if not self.diagonal and not torch.allclose(self.A, self.A.mT):
            raise ValueError("Every A_i must be symmetric; pass (A + A') / 2.")
        self.mu = float(self._eigenvalues(self._mean[0]).min())
        self.L = float(self._eigenvalues(self.A).abs().max())
        if self.mu <= 0:
            raise ValueError(f"The mean of the A_i must be positive definite; its smallest eigenvalue is {self.mu:g}.")
        self.gradient_bytes = 8 * self.d * (1 if self.diagonal else self.d + 1)
        self.draw_bytes = 8 * self.d if self.sigma else 0

    def __repr__(self) -> str:
        return f"Quadratic({self.n} workers, d = {self.d:,}, sigma = {self.sigma:g}, L = {self.L:.3g}, mu = {self.mu:.3g})"

    def _eigenvalues(self, a: Tensor) -> Tensor:
        return a if self.diagonal else torch.linalg.eigvalsh(a)

    @cached_property
    def _mean(self) -> tuple[Tensor, Tensor]:
        return self.A.mean(0), self.b.mean(0)

    @cached_property
    def _rows(self) -> tuple[Tensor, Tensor | None]:
        """A and b with places for the models (L, S) of a job; None where every b_i is zero."""
        return self.A[:, None, None], self.b[:, None, None] if self.b.any() else None

    @lasting
    def minimiser(self) -> Tensor:
        a, b = self._mean
        return b / a if self.diagonal else torch.linalg.solve(a, b)

    @cached_property
    def minimum(self) -> float:
        return float(self.loss(self.minimiser))

    @property
    def zeta_sq(self) -> float:
        return float((self._worker_grads(self.minimiser) - self.full_grad(self.minimiser)).square().sum(-1).mean())

    def _times(self, a: Tensor, x: Tensor) -> Tensor:
        """a x for diagonals `a` (..., d) or matrices (..., d, d), summed in an order that does not depend on the batch."""
        return a * x if self.diagonal else (a * x.unsqueeze(-2)).sum(-1)

    def _worker_grads(self, x: Tensor) -> Tensor:
        return self._times(self.A, x.expand(self.n, self.d)) - self.b

    def loss(self, x: Tensor) -> Tensor:
        """f at `x` (..., d)."""
        a, b = self._mean
        return (0.5 * x * self._times(a, x) - x * b).sum(-1)

    def full_grad(self, x: Tensor, worker: int | None = None) -> Tensor:
        a, b = self._mean if worker is None else (self.A[worker], self.b[worker])
        return self._times(a, x) - b

    def draws(self, worker: Tensor, job: Tensor, seed: Tensor) -> tuple[Tensor, ...]:
        """The noise of jobs, (m, S, d) for S seeds; nothing where sigma = 0."""
        if not self.sigma:
            return ()
        return (rng.normal(rng.key(seed, _NOISE, job.unsqueeze(-1)), self.d).mul_(self.sigma / self.d**0.5),)

    def grad_at(self, x: Tensor, worker: Tensor, draws: tuple[Tensor, ...]) -> Tensor:
        """Gradients (m, L, S, d) at models `x` (m, L, S, d): all L models of a job and seed meet the same noise."""
        A, b = self._rows
        g = self._times(A.index_select(0, worker), x)
        if b is not None:
            g.sub_(b.index_select(0, worker))
        return g.add_(draws[0].unsqueeze(1)) if draws else g

    def grad(self, x: Tensor, worker: Tensor, job: Tensor, seed: Tensor) -> Tensor:
        return self.grad_at(x.unsqueeze(1), worker, self.draws(worker, job, seed)).squeeze(1)

    def metrics(self, x: Tensor) -> dict[str, Tensor]:
        """`loss`, `grad_norm_sq`, `gap` (loss above the minimum) and `dist_sq` to the minimiser."""
        away = x - self.minimiser
        return {
            "loss": self.loss(x),
            "grad_norm_sq": self.full_grad(x).square().sum(-1),
            "gap": 0.5 * (away * self._times(self._mean[0], away)).sum(-1),
            "dist_sq": away.square().sum(-1),
        }
