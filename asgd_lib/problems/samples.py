"""What all problems over a data set share: who owns which sample, minibatches, and exact metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from asgd_lib import rng
from asgd_lib.checks import count, finite, non_negative

_BATCH = rng.stream("minibatch")
_ROWS = 8192  # samples evaluated at once, to bound memory


class Samples:
    """f_i(x) = mean over worker i's samples of loss(x; sample) + l2/2 |x|^2, and f(x) = (1/n) sum_i f_i(x): workers weigh the same.

    `X`: `(N, features)` floating point (its dtype and device are the problem's); `y`: `(N,)`; `parts`: one array of sample indices a
    worker; `batch`: samples a stochastic gradient, drawn uniformly with replacement from the worker's own; `test`: an `(X, y)` on which
    accuracy is measured (default: the training samples).

    Labels of any integer type are taken as int64, and real targets in the dtype of `X`.

    Raises ValueError for shapes that do not fit, values that are not finite, parts that are empty, out of range or not index vectors.
    """

    x0: Tensor
    classifies = True

    def __init__(
        self, X: Tensor, y: Tensor, parts: Sequence[Any], batch: int = 32, l2: float = 0.0, test: tuple[Tensor, Tensor] | None = None
    ):
        self.X, self.y = _pair("X", X, "y", y, None)
        self.batch = count("batch", batch)
        non_negative("l2", l2)
        self.l2, self.n = float(l2), len(parts)
        self._own(parts)
        self.test = None
        if test is not None:
            if len(test) != 2:
                raise ValueError(f"test must be a pair (X, y); got {len(test)} items.")
            self.test = _pair("the test X", test[0], "the test y", test[1], self.X)

    def _own(self, parts: Sequence[Any]) -> None:
        sizes = [len(p) for p in parts]
        if not sizes or min(sizes) == 0:
            raise ValueError("Every worker needs at least one sample: give each a non-empty index array, as asgd_lib.partition does.")
        indices = [torch.as_tensor(p) for p in parts]
        if any(p.ndim != 1 or p.dtype == torch.bool or p.is_floating_point() for p in indices):
            raise ValueError("Every part must be a vector of whole sample indices; for a mask pass np.flatnonzero(mask).")
        self._indices = torch.cat([p.long() for p in indices]).to(self.X.device)
        if int(self._indices.min()) < 0 or int(self._indices.max()) >= len(self.X):
            raise ValueError(f"A part names a sample outside 0..{len(self.X) - 1}.")
        self._size = torch.tensor(sizes, device=self.X.device)
        self._first = torch.cumsum(self._size, 0) - self._size
        weights = torch.repeat_interleave(1.0 / (self.n * self._size.double()), self._size)
        self._weight = weights.to(self.X.dtype)  # (total,) of each entry of _indices in f

    def samples_of(self, worker: int) -> Tensor:
        """Indices of the samples that `worker` owns."""
        first = int(self._first[worker])
        return self._indices[first : first + int(self._size[worker])]

    @property
    def gradient_bytes(self) -> int:
        row = math.prod(self.X.shape[1:])
        return self.X.element_size() * (2 * len(self.x0) + self.batch * row)

    def _batch_grad(self, x: Tensor, X: Tensor, y: Tensor) -> Tensor:
        """Mean loss gradients (M, d) at models (M, d) on minibatches (M, B, features) and (M, B)."""
        raise NotImplementedError

    def _weighted(self, x: Tensor, X: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums of losses (R,) and of loss gradients (R, d) at models (R, d) on samples (N, features), (N,)."""
        raise NotImplementedError

    def _predict(self, x: Tensor, X: Tensor) -> Tensor:
        """Predicted classes (R, N)."""
        raise NotImplementedError

    def grad(self, x: Tensor, worker: Tensor, job: Tensor, seed: Tensor) -> Tensor:
        m, R, d = x.shape
        keys = rng.key(seed, _BATCH, job.unsqueeze(-1))
        place = rng.integers(keys, self.batch, self._size[worker].unsqueeze(-1)) + self._first[worker].view(m, 1, 1)
        index = self._indices[place.view(m * R, self.batch)]
        flat = x.reshape(m * R, d)
        g = self._batch_grad(flat, self.X[index], self.y[index])
        return (g + self.l2 * flat if self.l2 else g).view(m, R, d)

    def _sums(self, x: Tensor, worker: int | None) -> tuple[Tensor, Tensor]:
        if worker is None:
            index, weight = self._indices, self._weight
        else:
            index = self.samples_of(worker)
            weight = torch.full((len(index),), 1.0 / len(index), dtype=self.X.dtype, device=self.X.device)
        loss, grad = 0.5 * self.l2 * x.square().sum(-1), self.l2 * x
        for rows, w in zip(index.split(_ROWS), weight.split(_ROWS), strict=True):
            more_loss, more_grad = self._weighted(x, self.X[rows], self.y[rows], w)
            loss, grad = loss + more_loss, grad + more_grad
        return loss, grad

    def full_grad(self, x: Tensor, worker: int | None = None) -> Tensor:
        return self._sums(x.reshape(-1, x.shape[-1]), worker)[1].view(x.shape)

    def metrics(self, x: Tensor) -> dict[str, Tensor]:
        """`loss` and `grad_norm_sq` of f, exactly; for classifiers `accuracy` on `test`, or else on the training samples."""
        loss, grad = self._sums(x, None)
        values = {"loss": loss, "grad_norm_sq": grad.square().sum(-1)}
        if self.classifies:
            X, y = self.test if self.test is not None else (self.X, self.y)
            right = sum((self._predict(x, a) == b).sum(-1) for a, b in zip(X.split(_ROWS), y.split(_ROWS), strict=True))
            values["accuracy"] = right / len(y)
        return values


def _pair(x_name: str, X: Any, y_name: str, y: Any, like: Tensor | None) -> tuple[Tensor, Tensor]:
    """Samples and targets as checked tensors, with the dtype, device and sample shape of `like` where there is one."""
    X = torch.as_tensor(X)
    if not X.is_floating_point() or X.ndim < 2 or not len(X):
        raise ValueError(f"{x_name} must be a floating-point tensor (N, features), not empty; got {tuple(X.shape)} of {X.dtype}.")
    if like is not None:
        if X.shape[1:] != like.shape[1:]:
            raise ValueError(f"{x_name} must have samples of shape {tuple(like.shape[1:])}, as X has; got {tuple(X.shape[1:])}.")
        X = X.to(like)
    y = torch.as_tensor(y, device=X.device)
    if y.shape != X.shape[:1]:
        raise ValueError(f"{y_name} must have shape ({len(X)},), one target a sample; got {tuple(y.shape)}.")
    finite(x_name, float(X.sum()))
    if y.is_floating_point():
        finite(y_name, float(y.sum()))
    return X, y.to(X.dtype) if y.is_floating_point() else y.long()


def classes_of(y: Tensor) -> int:
    """Number of classes of labels 0..C-1; ValueError where `y` holds anything else."""
    if not y.numel() or y.is_floating_point() or y.is_complex() or int(y.min()) < 0:
        raise ValueError("Class labels must be whole numbers 0..C-1, and at least one.")
    return int(y.max()) + 1
