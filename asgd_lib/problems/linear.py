"""Linear models with closed-form batched gradients: least squares, logistic regression, softmax regression."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from asgd_lib.problems.entropy import cross_entropy, softmax_residual
from asgd_lib.problems.samples import Samples, classes_of


class _Linear(Samples):
    """Scores z = W a + c for each sample a; the model x is W, row by row (classes, features), then the intercepts c (classes)."""

    curvature: float  # upper bound of the loss's second derivative in the scores

    def __init__(
        self, X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]], batch: int = 32, l2: float = 0.0, *, intercept: bool = True,
        outputs: int = 1, test: Sequence[Any] | None = None,
    ):  # fmt: skip
        super().__init__(X, y, parts, batch, l2, test)
        self.features, self.outputs, self.intercept = self.X.shape[1], outputs, bool(intercept)
        self.x0 = torch.zeros(outputs * (self.features + self.intercept), dtype=self.X.dtype, device=self.X.device)

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (..., outputs, features) and intercepts (..., outputs or 0), both views of `x` (..., d)."""
        cut = self.outputs * self.features
        return x[..., :cut].view(*x.shape[:-1], self.outputs, self.features), x[..., cut : cut + self.outputs * self.intercept]

    def _residual(self, z: Tensor, y: Tensor) -> Tensor:
        """Derivative of each sample's loss in its scores: (M, outputs, B) from (M, outputs, B) and (M, B)."""
        raise NotImplementedError

    def _loss(self, z: Tensor, y: Tensor) -> Tensor:
        """Each sample's loss, (M, B)."""
        raise NotImplementedError

    def _batch_grad(self, x, X, y, out):
        M, L = x.shape[:2]
        w, c = self._cut(x)
        rows = w.reshape(M, L * self.outputs, self.features)
        z = torch.baddbmm(c.reshape(M, -1, 1), rows, X.mT) if self.intercept else torch.bmm(rows, X.mT)
        padded, residual = self._padded(M * L, self.outputs, z)
        y = y if L == 1 else y.repeat_interleave(L, 0)
        torch.div(self._residual(z.view(M * L, self.outputs, -1), y), self.batch, out=residual)
        torch.bmm(padded.view(M, -1, self.batch), X, out=out.view(M, -1, self.features))
        if self.intercept:
            torch.sum(residual.view(M, L, self.outputs, -1), -1, out=self._cut(out)[1])

    def _shared_scores(self, x: Tensor, X: Tensor) -> Tensor:
        """(R, outputs, N) for models (R, d) on the same samples (N, features), in one product."""
        w, c = self._cut(x)
        z = (w.reshape(-1, self.features) @ X.T).view(len(x), self.outputs, len(X))
        return z + c.unsqueeze(2) if self.intercept else z

    def _evaluate(self, x, X, y, weight):
        z = self._shared_scores(x, X)
        y = y.expand(len(x), -1)
        residual = self._residual(z, y) * weight
        grad = (residual.view(-1, len(X)) @ X).view(len(x), -1)
        grad = torch.cat([grad, residual.sum(-1)], 1) if self.intercept else grad
        return self._loss(z, y) @ weight, grad, z

    def _predict(self, x, X):
        return self._classes(self._shared_scores(x, X))

    @cached_property
    def L(self) -> float:
        """Smoothness constant of f: curvature bound times the largest eigenvalue of the workers' mean Gram matrix, plus l2."""
        owned = self._weight > 0
        rows = self.X[owned].double()
        if self.intercept:
            rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype, device=rows.device)], 1)
        return self.curvature * float(torch.linalg.eigvalsh(rows.T @ (rows * self._weight[owned].unsqueeze(1)))[-1]) + self.l2


class LeastSquares(_Linear):
    """Least squares, loss 1/2 (a'x - y)^2; `intercept` is off by default, so that x is `(features,)`."""

    curvature, classifies = 1.0, False

    def __init__(
        self, X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]], batch: int = 32, l2: float = 0.0, *, intercept: bool = False,
        test: Sequence[Any] | None = None,
    ):  # fmt: skip
        super().__init__(X, torch.as_tensor(y).to(torch.as_tensor(X).dtype), parts, batch, l2, intercept=intercept, test=test)

    def _residual(self, z, y):
        return z - y.unsqueeze(1)

    def _loss(self, z, y):
        return 0.5 * (z.squeeze(1) - y).square()


class LogisticRegression(_Linear):
    """Two classes, y in {0, 1}: loss log(1 + exp(z)) - y z, with l2/2 |x|^2 on all coordinates, the intercept included."""

    curvature = 0.25

    def __init__(
        self, X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]], batch: int = 32, l2: float = 0.0, *, intercept: bool = True,
        test: Sequence[Any] | None = None,
    ):  # fmt: skip
        labels = torch.as_tensor(y)
        if not bool(((labels == 0) | (labels == 1)).all()):
            raise ValueError("LogisticRegression needs labels 0 and 1; for more classes use Softmax.")
        super().__init__(X, labels.long(), parts, batch, l2, intercept=intercept, test=test)

    def _residual(self, z, y):
        return 1 / (1 + torch.exp(-z)) - y.unsqueeze(1).to(z.dtype)  # torch.sigmoid's last bit depends on the batch

    def _loss(self, z, y):
        return F.softplus(z.squeeze(1)) - y * z.squeeze(1)

    def _classes(self, z):
        return (z.squeeze(1) > 0).long()


class Softmax(_Linear):
    """Softmax regression with classes 0..C-1: the cross-entropy of W a + c, with l2/2 |x|^2 on all coordinates."""

    curvature = 0.5

    def __init__(
        self, X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]], batch: int = 32, l2: float = 0.0, *, intercept: bool = True,
        test: Sequence[Any] | None = None,
    ):  # fmt: skip
        super().__init__(X, y, parts, batch, l2, intercept=intercept, outputs=classes_of(torch.as_tensor(y)), test=test)

    def _residual(self, z, y):
        return softmax_residual(z, y)

    def _loss(self, z, y):
        return cross_entropy(z, y)
