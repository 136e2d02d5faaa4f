"""What all problems over a data set share: who owns which sample, minibatches, and exact metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from asgd_lib import rng
from asgd_lib.checks import count, finite, non_negative
from asgd_lib.problems.scratch import Scratch

_BATCH = rng.stream("minibatch")
_ROWS = 1024  # samples evaluated at once: they stay in the caches between the forward and the backward pass
_RUNS = 16  # models evaluated at once, to bound memory


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
        self._weight = torch.zeros(len(self.X), dtype=torch.float64, device=self.X.device).index_add_(0, self._indices, weights)
        self._scratch = Scratch()

    def samples_of(self, worker: int) -> Tensor:
        """Indices of the samples that `worker` owns."""
        first = int(self._first[worker])
        return self._indices[first : first + int(self._size[worker])]

    @property
    def gradient_bytes(self) -> int:
        return self.X.element_size() * 2 * len(self.x0) + self.shared_bytes

    @property
    def shared_bytes(self) -> int:
        return self.X.element_size() * self.batch * math.prod(self.X.shape[1:])

    @property
    def draw_bytes(self) -> int:
        return 8 * self.batch

    @property
    def _stride(self) -> int:
        """Numbers from one gradient of a block to the next: whole rows of features.

        Where the coordinates begin with a matrix (rows, features), its gradients, with what follows as further rows, are one matrix for a
        whole block, which one product writes. A block with gaps costs a loop over products, or a copy that is as dear as the product.
        """
        features = math.prod(self.X.shape[1:])
        return -(-len(self.x0) // features) * features

    def _padded(self, N: int, rows: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """N left factors of such a product, (N, all rows, B) with zeros behind the first `rows`, and a view of those to be filled."""
        padded = self._scratch("padded", (N, self._stride // math.prod(self.X.shape[1:]), self.batch), like)
        padded[:, rows:] = 0
        return padded, padded[:, :rows]

    def _batch_grad(self, x: Tensor, X: Tensor, y: Tensor, out: Tensor) -> None:
        """Write into `out` (M, L, stride), from its start, the mean loss gradients at models (M, L, d) on minibatches `X` and `y` of M.

        The L models of a minibatch are best multiplied with it as one matrix, (M, L rows, features): a few large products cost less than
        many small ones, by a factor of two to four at 64 features.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.y):,} samples, {self.n} workers, d = {len(self.x0):,}, batch {self.batch})"

    def _evaluate(self, x: Tensor, X: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weighted losses (R,) and their gradients (R, d) at models (R, d), summed over samples (N, ...), (N,); scores (R, classes, N)."""
        raise NotImplementedError

    def _classes(self, z: Tensor) -> Tensor:
        """Predictions (R, N) from scores (R, classes, N), of equals the first."""
        return z.max(1).indices  # argmax takes ten times as long

    def draws(self, worker: Tensor, job: Tensor, seed: Tensor) -> tuple[Tensor, ...]:
        """The samples that jobs see: indices (m, S, batch) for S seeds."""
        keys = rng.key(seed, _BATCH, job.unsqueeze(-1))
        place = rng.integers(keys, self.batch, self._size[worker].unsqueeze(-1)).add_(self._first[worker].view(-1, 1, 1))
        return (self._indices.take(place),)

    def grad_at(self, x: Tensor, worker: Tensor, draws: tuple[Tensor, ...]) -> Tensor:
        """Gradients (m, L, S, d) at models `x` (m, L, S, d): all L models of a job and seed see the same samples."""
        (index,) = draws
        m, L, S, d = x.shape
        flat = index.reshape(-1)
        rows = self._scratch("rows", (len(flat), *self.X.shape[1:]), self.X)
        X = torch.index_select(self.X, 0, flat, out=rows).view(m * S, self.batch, *self.X.shape[1:])
        y = self.y.index_select(0, flat).view(m * S, self.batch)
        models = x.transpose(1, 2).reshape(m * S, L, d)  # no copy: replay holds the L models of a seed side by side
        block = models.new_empty(m * S, L, self._stride)
        self._batch_grad(models, X, y, block)
        grads = block[..., :d]
        if self.l2:
            grads.add_(self.l2 * models)
        return grads.view(m, S, L, d).transpose(1, 2)

    def grad(self, x: Tensor, worker: Tensor, job: Tensor, seed: Tensor) -> Tensor:
        return self.grad_at(x.unsqueeze(1), worker, self.draws(worker, job, seed)).squeeze(1)

    def _sums(self, x: Tensor, worker: int | None, right: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
        """Loss (R,) and gradient (R, d) of f_worker, or of f, and with `right` the samples that are predicted rightly (R,)."""
        X, y, weight = self.X, self.y, self._weight
        if worker is not None:
            index = self.samples_of(worker)
            X, y, weight = X[index], y[index], torch.full((len(index),), 1.0 / len(index), dtype=X.dtype, device=X.device)
        sums = []
        for models in x.split(_RUNS):
            loss, grad, hits = 0.5 * self.l2 * models.square().sum(-1), self.l2 * models, 0
            for rows, targets, w in zip(X.split(_ROWS), y.split(_ROWS), weight.to(X.dtype).split(_ROWS), strict=True):
                more_loss, more_grad, scores = self._evaluate(models, rows, targets, w)
                loss, grad = loss + more_loss, grad + more_grad
                hits = hits + (self._classes(scores) == targets).sum(-1) if right else hits
            sums.append((loss, grad, hits))
        loss, grad, hits = zip(*sums, strict=True)
        return torch.cat(loss), torch.cat(grad), torch.cat(hits) if right else None

    def full_grad(self, x: Tensor, worker: int | None = None) -> Tensor:
        return self._sums(x.reshape(-1, x.shape[-1]), worker)[1].view(x.shape)

    def metrics(self, x: Tensor) -> dict[str, Tensor]:
        """`loss` and `grad_norm_sq` of f, exactly; for classifiers `accuracy` on `test`, or else on the training samples."""
        loss, grad, right = self._sums(x, None, right=self.classifies and self.test is None)
        values = {"loss": loss, "grad_norm_sq": grad.square().sum(-1)}
        if self.classifies:
            if self.test is not None:
                X, y = self.test
                right = sum((self._predict(x, a) == b).sum(-1) for a, b in zip(X.split(_ROWS), y.split(_ROWS), strict=True))
            values["accuracy"] = right / len(self.y if self.test is None else self.test[1])
        return values

    def _predict(self, x: Tensor, X: Tensor) -> Tensor:
        """Predicted classes (R, N)."""
        raise NotImplementedError


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
