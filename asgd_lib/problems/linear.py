"""Linear models with closed-form batched gradients: least squares, logistic regression, softmax regression."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from asgd_lib.problems.samples import Samples, classes_of


class _Linear(Samples):
    """Scores z = W a + c for each sample a; the model x is W, row by row (classes, features), then the intercepts c (classes)."""

    curvature: float  # upper bound of the loss's second derivative in the scores

    def __init__(self, X, y, parts, batch=32, l2=0.0, *, intercept=True, outputs=1, test=None):
        super().__init__(X, y, parts, batch, l2, test)
        self.features, self.outputs, self.intercept = self.X.shape[1], outputs, bool(intercept)
        self.x0 = torch.zeros(outputs * (self.features + self.intercept), dtype=self.X.dtype, device=self.X.device)

    def _scores(self, x: Tensor, X: Tensor) -> Tensor:
        """(M, B, outputs) for models (M, d) on minibatches (M, B, features)."""
        cut = self.outputs * self.features
        w = x[:, :cut].view(-1, self.outputs, self.features)
        return torch.baddbmm(x[:, cut:].unsqueeze(1), X, w.mT) if self.intercept else torch.bmm(X, w.mT)

    def _shared_scores(self, x: Tensor, X: Tensor) -> Tensor:
        """(R, N, outputs) for models (R, d) on the same samples (N, features), in one product."""
        cut = self.outputs * self.features
        z = (X @ x[:, :cut].reshape(-1, self.features).T).view(len(X), len(x), self.outputs).transpose(0, 1)
        return z + x[:, cut:].unsqueeze(1) if self.intercept else z

    def _residual(self, z: Tensor, y: Tensor) -> Tensor:
        """Derivative of each sample's loss in its scores: (..., outputs) from (..., outputs) and (...)."""
        raise NotImplementedError

    def _loss(self, z: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError

    def _join(self, weights: Tensor, residual: Tensor) -> Tensor:
        flat = weights.flatten(1)
        return torch.cat([flat, residual.sum(1)], 1) if self.intercept else flat

    def _batch_grad(self, x, X, y):
        residual = self._residual(self._scores(x, X), y) / self.batch
        return self._join(torch.bmm(residual.mT, X), residual)

    def _weighted(self, x, X, y, weight):
        z = self._shared_scores(x, X)
        y = y.expand(len(x), -1)
        residual = self._residual(z, y) * weight.view(1, -1, 1)
        products = residual.permute(0, 2, 1).reshape(-1, len(X)) @ X
        return self._loss(z, y) @ weight, self._join(products.view(len(x), self.outputs, -1), residual)

    @cached_property
    def L(self) -> float:
        """Smoothness constant of f: curvature bound times the largest eigenvalue of the workers' mean Gram matrix, plus l2."""
        rows = self.X[self._indices].double()
        if self.intercept:
            rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype, device=rows.device)], 1)
        return self.curvature * float(torch.linalg.eigvalsh(rows.T @ (rows * self._weight.double().unsqueeze(1)))[-1]) + self.l2


class LeastSquares(_Linear):
    """Least squares, loss 1/2 (a'x - y)^2; `intercept` is off by default, so that x is `(features,)`."""

    curvature, classifies = 1.0, False

    def __init__(self, X, y, parts, batch=32, l2=0.0, *, intercept=False, test=None):
        super().__init__(X, torch.as_tensor(y).to(torch.as_tensor(X).dtype), parts, batch, l2, intercept=intercept, test=test)

    def _residual(self, z, y):
        return z - y.unsqueeze(-1)

    def _loss(self, z, y):
        return 0.5 * (z.squeeze(-1) - y).square()


class LogisticRegression(_Linear):
    """Two classes, y in {0, 1}: loss log(1 + exp(z)) - y z, with l2/2 |x|^2 on all coordinates, the intercept included."""

    curvature = 0.25

    def __init__(self, X, y, parts, batch=32, l2=0.0, *, intercept=True, test=None):
        labels = torch.as_tensor(y)
        if not bool(((labels == 0) | (labels == 1)).all()):
            raise ValueError("LogisticRegression needs labels 0 and 1; for more classes use Softmax.")
        super().__init__(X, labels.long(), parts, batch, l2, intercept=intercept, test=test)

    def _residual(self, z, y):
        return 1 / (1 + torch.exp(-z)) - y.unsqueeze(-1).to(z.dtype)  # torch.sigmoid's last bit depends on the batch

    def _loss(self, z, y):
        return F.softplus(z.squeeze(-1)) - y * z.squeeze(-1)

    def _predict(self, x, X):
        return (self._shared_scores(x, X).squeeze(-1) > 0).long()


class Softmax(_Linear):
    """Softmax regression with classes 0..C-1: the cross-entropy of W a + c, with l2/2 |x|^2 on all coordinates."""

    curvature = 0.5

    def __init__(self, X, y, parts, batch=32, l2=0.0, *, intercept=True, test=None):
        super().__init__(X, y, parts, batch, l2, intercept=intercept, outputs=classes_of(torch.as_tensor(y)), test=test)

    def _residual(self, z, y):
        return torch.softmax(z, -1) - F.one_hot(y, self.outputs).to(z.dtype)

    def _loss(self, z, y):
        return torch.logsumexp(z, -1) - z.gather(-1, y.unsqueeze(-1)).squeeze(-1)

    def _predict(self, x, X):
        return self._shared_scores(x, X).argmax(-1)
