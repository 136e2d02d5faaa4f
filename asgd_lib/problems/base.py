"""What replay asks of a problem."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Problem(Protocol):
    """f(x) = (1/n) sum_i f_i(x), worker i sampling its own f_i.

    Shapes: m jobs in a call, R runs, d coordinates. Randomness is a pure function of (seed, job), so a job's gradient is the same in any
    batch.

    A problem may cut `grad` in two, so that what does not depend on a model is drawn early, for many jobs at once, and only once for all
    step sizes: `draws(worker, job, seed)`, a tuple of tensors (m, S, ...) for S seeds, and `grad_at(x, worker, draws)`, gradients
    (m, L, S, d) at L models of every job and seed, in memory of their own: `x` is written over by the next call. Then `draw_bytes` is the
    memory of one job's draws and, where there is something, `shared_bytes` that part of `gradient_bytes` which the L models share.
    """

    n: int  # workers
    x0: Tensor  # (d,), the start
    gradient_bytes: int  # working memory of one stochastic gradient, bytes

    def grad(self, x: Tensor, worker: Tensor, job: Tensor, seed: Tensor) -> Tensor:
        """Stochastic gradients, (m, R, d), at models `x` (m, R, d) for `worker` (m,), `job` (m,) and run seeds `seed` (R,)."""

    def full_grad(self, x: Tensor, worker: int | None = None) -> Tensor:
        """The exact gradient of f_worker, or of f, at `x` (..., d)."""

    def metrics(self, x: Tensor) -> dict[str, Tensor]:
        """Exact values at `x` (R, d), each (R,): at least `loss` and `grad_norm_sq`."""
