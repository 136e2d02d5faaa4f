"""A two-layer network with closed-form batched gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asgd_lib import rng
from asgd_lib.checks import count
from asgd_lib.problems.samples import Samples, classes_of


class MLP(Samples):
    """features - `hidden` ReLU - classes, cross-entropy; x is (W1, c1, W2, c2), each matrix row by row as (out, in).

    x0 is uniform in +-1/sqrt(in), as torch.nn.Linear's default is, a pure function of `init_seed`.
    """

    def __init__(self, X, y, parts, batch=32, l2=0.0, *, hidden: int = 128, init_seed: int = 0, test=None):
        super().__init__(X, y, parts, batch, l2, test)
        features, self.outputs = self.X.shape[1], classes_of(self.y)
        self.hidden = count("hidden", hidden)
        self._shapes = [(hidden, features), (hidden,), (self.outputs, hidden), (self.outputs,)]
        bounds = [features**-0.5] * 2 + [hidden**-0.5] * 2
        pieces = [
            (2 * rng.uniform(rng.key(init_seed, rng.stream("mlp"), i), torch.Size(shape).numel()) - 1) * bound
            for i, (shape, bound) in enumerate(zip(self._shapes, bounds, strict=True))
        ]
        self.x0 = torch.cat(pieces).to(self.X)

    def _cut(self, x: Tensor) -> list[Tensor]:
        pieces = x.split([torch.Size(s).numel() for s in self._shapes], -1)
        return [p.reshape(len(x), *s) for p, s in zip(pieces, self._shapes, strict=True)]

    def _scores(self, x: Tensor, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden activations (M, B, hidden), scores (M, B, classes) and the second matrix, for models (M, d) on (M, B, features)."""
        w1, c1, w2, c2 = self._cut(x)
        h = torch.baddbmm(c1.unsqueeze(1), X, w1.mT).relu_()
        return h, torch.baddbmm(c2.unsqueeze(1), h, w2.mT), w2

    def _backward(self, residual: Tensor, h: Tensor, w2: Tensor, X: Tensor) -> Tensor:
        back = torch.bmm(residual, w2) * (h > 0)
        return torch.cat([torch.bmm(back.mT, X).flatten(1), back.sum(1), torch.bmm(residual.mT, h).flatten(1), residual.sum(1)], 1)

    def _batch_grad(self, x, X, y):
        h, z, w2 = self._scores(x, X)
        residual = (torch.softmax(z, -1) - F.one_hot(y, self.outputs).to(z.dtype)) / self.batch
        return self._backward(residual, h, w2, X)

    def _weighted(self, x, X, y, weight):
        X, y = X.expand(len(x), *X.shape), y.expand(len(x), -1)
        h, z, w2 = self._scores(x, X)
        loss = torch.logsumexp(z, -1) - z.gather(-1, y.unsqueeze(-1)).squeeze(-1)
        residual = (torch.softmax(z, -1) - F.one_hot(y, self.outputs).to(z.dtype)) * weight.view(1, -1, 1)
        return loss @ weight, self._backward(residual, h, w2, X)

    def _predict(self, x, X):
        return self._scores(x, X.expand(len(x), *X.shape))[1].argmax(-1)
