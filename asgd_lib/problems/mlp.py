"""A two-layer network with closed-form batched gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from asgd_lib import rng
from asgd_lib.checks import count
from asgd_lib.problems.entropy import cross_entropy, softmax_residual
from asgd_lib.problems.samples import Samples, classes_of


class MLP(Samples):
    """features - `hidden` ReLU - classes, cross-entropy; x is (W1, c1, W2, c2), each matrix row by row as (out, in).

    x0 is uniform in +-1/sqrt(in), as torch.nn.Linear's default is, a pure function of `init_seed`.
    """

    def __init__(
        self, X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]], batch: int = 32, l2: float = 0.0, *, hidden: int = 128,
        init_seed: int = 0, test: Sequence[Any] | None = None,
    ):  # fmt: skip
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
        """W1, c1, W2, c2 of every model, views of `x` (..., d)."""
        lead, pieces, first = x.shape[:-1], [], 0
        for shape in self._shapes:
            size = math.prod(shape)
            pieces.append(x.narrow(-1, first, size).view(*lead, *shape))
            first += size
        return pieces

    def _batch_grad(self, x, X, y, out):
        M, L = x.shape[:2]
        N = M * L
        w1, c1, w2, c2 = self._cut(x)
        w2, c2 = w2.flatten(0, 1), c2.flatten(0, 1)  # hidden activations differ from model to model: the second layer has M L products
        h = torch.baddbmm(c1.reshape(M, -1, 1), w1.flatten(1, 2), X.mT).relu_().view(N, self.hidden, -1)
        y = y if L == 1 else y.repeat_interleave(L, 0)
        residual = softmax_residual(torch.baddbmm(c2.unsqueeze(2), w2, h), y).div_(self.batch)
        padded, back = self._padded(N, self.hidden, h)
        torch.ops.aten.threshold_backward.grad_input(torch.bmm(w2.mT, residual), h, 0, grad_input=back)
        torch.bmm(padded.view(M, -1, self.batch), X, out=out.view(M, -1, X.shape[2]))
        _, b1, g2, b2 = self._cut(out)
        torch.sum(back, -1, out=b1.flatten(0, 1))
        g2.flatten(0, 1).copy_(torch.bmm(residual, h.mT))
        torch.sum(residual, -1, out=b2.flatten(0, 1))

    def _forward(self, x: Tensor, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden activations (R, hidden, N), scores (R, classes, N) and the second matrix, for models (R, d) on the same samples."""
        w1, c1, w2, c2 = self._cut(x)
        h = (w1.reshape(-1, w1.shape[-1]) @ X.T).view(len(x), self.hidden, len(X)).add_(c1.unsqueeze(2)).relu_()
        return h, torch.baddbmm(c2.unsqueeze(2), w2, h), w2

    def _evaluate(self, x, X, y, weight):
        h, z, w2 = self._forward(x, X)
        y = y.expand(len(x), -1)
        residual = softmax_residual(z, y).mul_(weight)
        back = torch.bmm(w2.mT, residual).mul_(h > 0)
        first = (back.view(-1, len(X)) @ X).view(len(x), -1)
        grad = torch.cat([first, back.sum(-1), torch.bmm(residual, h.mT).flatten(1), residual.sum(-1)], 1)
        return cross_entropy(z, y) @ weight, grad, z

    def _predict(self, x, X):
        return self._classes(self._forward(x, X)[1])
