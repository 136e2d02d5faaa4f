"""The residual network of the CIFAR experiments, with group instead of batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from asgd_lib.checks import count
from asgd_lib.problems.samples import classes_of
from asgd_lib.problems.torch_module import TorchModule


class ResNet(TorchModule):
    """conv 3x3 - three stages of `blocks` residual blocks, `width`, 2 `width` and 4 `width` wide - mean over pixels - linear.

    He, Zhang, Ren and Sun, arXiv:1512.03385, section 4.2: 6 `blocks` + 2 layers with weights, so ResNet-20 is `blocks=3, width=16`; stages
    two and three begin with stride 2, and shortcuts have no parameters (every other pixel, missing channels zero). GroupNorm, in
    groups of 8 channels where the width allows it, stands where theirs has batch normalisation, whose statistics no server can average.
    No data augmentation: a sample is the same each time it is drawn.

    `X`: `(N, channels * side * side)`, plane after plane, as `data.load("cifar10")` gives it.

    Raises ValueError for rows that are not `channels` square planes of at least 4 x 4 pixels, and for counts below 1.
    """

    def __init__(
        self, X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]], batch: int = 32, l2: float = 0.0, *, blocks: int = 3,
        width: int = 16, channels: int = 3, init_seed: int = 0, test: Sequence[Any] | None = None,
    ):  # fmt: skip
        for name, value in (("blocks", blocks), ("width", width), ("channels", channels)):
            count(name, value)
        rows = torch.atleast_1d(torch.as_tensor(X))
        side = round((rows.shape[-1] / channels) ** 0.5)
        if rows.ndim != 2 or channels * side * side != rows.shape[-1] or side < 4:
            raise ValueError(
                f"ResNet needs rows of {channels} square planes of at least 4 x 4 pixels; got X of shape {tuple(rows.shape)}. "
                "Give the number of planes by channels."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(init_seed)
            module = residual_network(channels, side, classes_of(torch.as_tensor(y)), blocks, width)
        module = module.to(memory_format=torch.channels_last)  # as SmallCNN's
        super().__init__(module, nn.CrossEntropyLoss(reduction="none"), X, y, parts, batch, l2, test=test)


class Block(nn.Module):
    """relu(x + norm(conv(relu(norm(conv(x)))))), the shortcut subsampled and padded with zero channels where the shape changes."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.stride, self.missing = stride, after - before
        self.body = nn.Sequential(
            convolution(before, after, stride), normalisation(after), nn.ReLU(), convolution(after, after), normalisation(after)
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))
        return torch.relu(shortcut + self.body(x))


def residual_network(channels: int, side: int, classes: int, blocks: int, width: int) -> nn.Sequential:
    """The network on rows `(N, channels * side * side)`, convolutions drawn as He et al. draw them (fan-out)."""
    layers = [nn.Unflatten(-1, (channels, side, side)), convolution(channels, width), normalisation(width), nn.ReLU()]
    before = width
    for stage in range(3):
        for block in range(blocks):
            after = width * 2**stage
            layers.append(Block(before, after, stride=2 if stage and not block else 1))
            before = after
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return network


def convolution(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)  # the normalisation has the bias


def normalisation(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
