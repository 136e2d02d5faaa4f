"""Anybody's nn.Module as a problem, by autograd, model by model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from asgd_lib.problems.samples import Samples, classes_of


class TorchModule(Samples):
    """The loss of `module` on a data set; x is its parameters, flattened in their own order.

    `loss(output, target)` must return one value a sample, as `nn.CrossEntropyLoss(reduction="none")` does. `X` may have any shape
    `(N, ...)`. Gradients loop over models, which for convolutions is faster than batching them.

    The module runs in evaluation mode, so that dropout is off: a job's gradient must depend on its model, seed and job alone.

    Raises ValueError for a module without parameters, or with buffers, such as batch normalisation: what a worker's statistics should be on
    a server is undefined (use GroupNorm).
    """

    by_autograd = True

    def __init__(
        self, module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]],
        batch: int = 32, l2: float = 0.0, *, test: Sequence[Any] | None = None,
    ):  # fmt: skip
        super().__init__(X, y, parts, batch, l2, test)
        self.classifies = not self.y.is_floating_point()
        if any(True for _ in module.buffers()):
            raise ValueError("The module has buffers (batch normalisation?), which no rule averages; use GroupNorm or LayerNorm.")
        self.module = copy.deepcopy(module).to(self.X).eval()
        self.loss = loss
        parameters = dict(self.module.named_parameters())
        if not parameters:
            raise ValueError("The module has no parameters to train; pass a network such as nn.Linear(features, classes).")
        self._parameters = list(parameters.values())
        self._sizes = [p.numel() for p in self._parameters]
        self.x0 = torch.cat([p.detach().flatten() for p in self._parameters])

    def __getstate__(self):
        self._load(self.x0)  # what the module held last is no part of the problem
        return vars(self)

    def _load(self, x: Tensor) -> None:
        with torch.no_grad():
            for parameter, piece in zip(self._parameters, x.split(self._sizes), strict=True):
                parameter.copy_(piece.view_as(parameter))

    def _forward(self, x: Tensor, X: Tensor) -> Tensor:
        self._load(x)
        return self.module(X)

    def _gradient(
        self, x: Tensor, X: Tensor, y: Tensor, weight: Tensor | None = None, out: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The losses of samples, the gradient of their sum with these weights (None: of their mean), and the module's output."""
        with torch.enable_grad():
            output = self._forward(x, X)
            values = self.loss(output, y)
            if values.shape != y.shape:
                raise ValueError(f'The loss must return one value a sample, shape {tuple(y.shape)}; use reduction="none".')
            weight = torch.full_like(values, 1 / len(values)) if weight is None else weight
            grads = torch.autograd.grad(values, self._parameters, weight, allow_unused=True, materialize_grads=True)
        return values, torch.cat([g.flatten() for g in grads], out=out), output

    def _batch_grad(self, x, X, y, out):
        for models, inputs, targets, grads in zip(x, X, y, out, strict=True):
            for row, g in zip(models, grads, strict=True):
                self._gradient(row, inputs, targets, out=g[: len(row)])

    def _evaluate(self, x, X, y, weight):
        losses, grads, outputs = [], [], []
        for row in x:
            values, grad, output = self._gradient(row, X, y, weight)
            losses.append(values.detach() @ weight)
            grads.append(grad)
            outputs.append(output.detach())
        loss, grad, output = map(torch.stack, (losses, grads, outputs))
        return loss, grad, output.mT if self.classifies else output

    def _predict(self, x, X):
        with torch.no_grad():
            return self._classes(torch.stack([self._forward(row, X) for row in x]).mT)


class SmallCNN(TorchModule):
    """conv 3x3 (8) - ReLU - pool 2 - conv 3x3 (16) - ReLU - pool 2 - linear, on square grey images given as rows of pixels."""

    def __init__(
        self, X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]], batch: int = 32, l2: float = 0.0, *, init_seed: int = 0,
        test: Sequence[Any] | None = None,
    ):  # fmt: skip
        rows = torch.atleast_1d(torch.as_tensor(X))
        side = round(rows.shape[-1] ** 0.5)
        if rows.ndim != 2 or side * side != rows.shape[-1] or side < 4:
            raise ValueError(f"SmallCNN needs square images of at least 4 x 4 pixels as rows; got X of shape {tuple(rows.shape)}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(init_seed)
            module = nn.Sequential(
                nn.Unflatten(-1, (1, side, side)),
                nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Flatten(), nn.Linear(16 * (side // 4) ** 2, classes_of(torch.as_tensor(y))),
            )  # fmt: skip
        module = module.to(memory_format=torch.channels_last)  # the order in memory in which convolutions and pools are fastest
        super().__init__(module, nn.CrossEntropyLoss(reduction="none"), X, y, parts, batch, l2, test=test)
