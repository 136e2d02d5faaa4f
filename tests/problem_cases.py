"""What the tests of problems share: one small problem of each kind, and its loss written once more, by torch.nn alone."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from asgd_lib import problems

N, FEATURES, CLASSES, HIDDEN, L2 = 40, 16, 3, 5, 0.3
PARTS = [np.arange(0, 7), np.arange(7, 19), np.array([39, 30, 19, 25]), np.array([20, 21, 22, 23, 24, 26, 27, 28, 29, *range(31, 39)])]
"""Four workers with 7, 12, 4 and 17 of the samples, in no order."""

_draw = torch.Generator().manual_seed(5)
X = torch.randn(N, FEATURES, generator=_draw, dtype=torch.float64)
LABELS = torch.randint(0, CLASSES, (N,), generator=_draw)
LABELS[:CLASSES] = torch.arange(CLASSES)
TARGETS = torch.randn(N, generator=_draw, dtype=torch.float64)
BINARY = (LABELS > 0).long()
TEST = (torch.randn(9, FEATURES, generator=_draw, dtype=torch.float64), torch.randint(0, 2, (9,), generator=_draw))

cross_entropy = nn.CrossEntropyLoss(reduction="none")


def logistic(z: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, y.to(z.dtype), reduction="none")


def half_square(z: Tensor, y: Tensor) -> Tensor:
    return 0.5 * (z - y) ** 2


def network(hidden: int = HIDDEN) -> nn.Sequential:
    """Its parameters, flattened in their order, are laid out as those of MLP."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(FEATURES, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES)).double()


def scores(bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Linear(FEATURES, 1, bias=bias), nn.Flatten(0)).double()


def convolutions() -> nn.Sequential:
    layers = [nn.Unflatten(-1, (1, 4, 4)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, CLASSES)]
    return nn.Sequential(*layers).double()


class Codes(nn.Module):
    """Characters 0 to 4 from the sizes of the inputs, which are real numbers in every other problem."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.abs().mul(2).long().clamp(max=4)


def language_model() -> nn.Sequential:
    layers = [nn.Embedding(5, 2), nn.Flatten(), nn.Linear(2 * FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 5)]
    return nn.Sequential(Codes(), *layers).double()


def of_codes(inputs: Tensor, y, parts, *options, test=None, **more) -> problems.CharLM:
    X, test = Codes()(inputs).to(inputs), test and (Codes()(test[0]).to(inputs), test[1])
    return problems.CharLM(X, y, parts, *options, characters=5, width=2, hidden=HIDDEN, test=test, **more)


class Shortcut(nn.Module):
    """relu(x + norm(conv(relu(norm(conv(x)))))), x thinned out and padded with channels of zeros where the shape changes."""

    def __init__(self, before: int, after: int, stride: int, groups: int):
        super().__init__()
        self.one, self.norm_one = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.GroupNorm(groups, after)
        self.two, self.norm_two = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.GroupNorm(groups, after)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm_two(self.two(F.relu(self.norm_one(self.one(x)))))
        thin = F.max_pool2d(x, 1, self.stride)
        zeros = thin.new_zeros(len(x), inner.shape[1] - thin.shape[1], *thin.shape[2:])
        return F.relu(inner + torch.cat([thin, zeros], 1))


def residual() -> nn.Sequential:
    """Stages of 4, 8 and 16 channels on 4 x 4 pixels; normalised in groups of 8 channels, or all 4."""
    layers = [nn.Unflatten(-1, (1, 4, 4)), nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.GroupNorm(1, 4), nn.ReLU()]
    layers += [Shortcut(4, 4, 1, 1), Shortcut(4, 8, 2, 1), Shortcut(8, 16, 2, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES)).double()


P = problems
# name -> how to build the problem, its targets, and the module and loss per sample that say what it should compute
CASES = {
    "LeastSquares": (P.LeastSquares, {}, TARGETS, lambda: scores(False), half_square),
    "LeastSquares with intercept": (P.LeastSquares, {"intercept": True}, TARGETS, lambda: scores(True), half_square),
    "LogisticRegression": (P.LogisticRegression, {}, BINARY, lambda: scores(True), logistic),
    "LogisticRegression without intercept": (P.LogisticRegression, {"intercept": False}, BINARY, lambda: scores(False), logistic),
    "Softmax": (P.Softmax, {}, LABELS, lambda: nn.Linear(FEATURES, CLASSES).double(), cross_entropy),
    "Softmax without intercept": (
        P.Softmax, {"intercept": False}, LABELS, lambda: nn.Linear(FEATURES, CLASSES, bias=False).double(), cross_entropy
    ),
    "MLP": (P.MLP, {"hidden": HIDDEN}, LABELS, network, cross_entropy),
    "SmallCNN": (P.SmallCNN, {}, LABELS, convolutions, cross_entropy),
    "ResNet": (P.ResNet, {"blocks": 1, "width": 4, "channels": 1}, LABELS, residual, cross_entropy),
    "TorchModule": (lambda *a, **k: P.TorchModule(network(7), cross_entropy, *a, **k), {}, LABELS, lambda: network(7), cross_entropy),
    "CharLM": (of_codes, {}, LABELS, language_model, cross_entropy),
}  # fmt: skip
NAMES = list(CASES)


def build(name: str, *, batch: int = 6, l2: float = L2, parts=PARTS, **more) -> problems.Problem:
    kind, options, y, _, _ = CASES[name]
    return kind(X, y, parts, batch, l2, **options, **more)


def models(problem, count: int, seed: int = 0) -> Tensor:
    """Random models (count, d), large enough that no score is near zero."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, len(problem.x0), generator=draw, dtype=torch.float64)


def loss_and_grad(name: str, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss over the samples `index` plus l2/2 |x|^2 at one model (d,), and its gradient by autograd through torch.nn."""
    _, _, y, module, loss = CASES[name]
    net = module()
    vector_to_parameters(x, net.parameters())
    value = loss(net(X[index]), y[index]).mean() + 0.5 * L2 * sum(p.square().sum() for p in net.parameters())
    return value.detach(), parameters_to_vector(torch.autograd.grad(value, list(net.parameters()))).detach()


def predictions(name: str, x: Tensor, inputs: Tensor) -> Tensor:
    """Predicted classes at one model (d,)."""
    _, _, _, module, loss = CASES[name]
    net = module()
    vector_to_parameters(x, net.parameters())
    with torch.no_grad():
        z = net(inputs)
    return (z > 0).long() if loss is logistic else z.argmax(-1)
