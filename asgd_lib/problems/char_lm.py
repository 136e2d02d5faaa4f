"""A language model of characters: which one comes next after a few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from asgd_lib.checks import count
from asgd_lib.problems.samples import classes_of
from asgd_lib.problems.torch_module import TorchModule


class CharLM(TorchModule):
    """embedding of each character (`width`) - linear (`hidden`) - tanh - linear, cross-entropy of the next character in nats.

    The model of Bengio, Ducharme, Vincent and Jauvin, JMLR 3:1137 (2003), section 2, on characters instead of words and without its direct
    connections from the embeddings to the scores (their W = 0).

    `X`: `(N, context)` codes 0 to `characters` - 1, as floats; `y`: `(N,)`, the code of the next character, as `data.load("shakespeare")`
    gives them, whose alphabet has 96. x0 is torch's default for these layers, drawn from `init_seed`.

    Raises ValueError for codes that are not whole numbers below `characters`, and for sizes below 1.
    """

    def __init__(
        self, X: ArrayLike, y: ArrayLike, parts: Sequence[Sequence[Any]], batch: int = 32, l2: float = 0.0, *, characters: int = 96,
        width: int = 8, hidden: int = 64, init_seed: int = 0, test: Sequence[Any] | None = None,
    ):  # fmt: skip
        for name, value, least in (("characters", characters, 2), ("width", width, 1), ("hidden", hidden, 1)):
            count(name, value, least)
        rows = torch.atleast_1d(torch.as_tensor(X))
        classes_of(torch.as_tensor(y))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(init_seed)
            module = language_model(rows.shape[-1], characters, width, hidden)
        super().__init__(module, nn.CrossEntropyLoss(reduction="none"), rows, y, parts, batch, l2, test=test)
        held_out = () if self.test is None else (("the test X", self.test[0]), ("the test y", self.test[1]))
        for name, codes in (("X", self.X), ("y", self.y), *held_out):
            if bool((codes != codes.long()).any() or (codes < 0).any() or (codes >= characters).any()):
                raise ValueError(
                    f"{name} must hold the codes of characters, whole numbers from 0 to {characters - 1}; got values from "
                    f"{float(codes.min()):g} to {float(codes.max()):g}. Leave codes unscaled, or give the alphabet's size by characters."
                )


class Embedding(nn.Embedding):
    """`nn.Embedding` of codes that come as floats, since a problem's data are: (..., context) to (..., context, width)."""

    def forward(self, codes: Tensor) -> Tensor:
        return super().forward(codes.long())


def language_model(context: int, characters: int, width: int, hidden: int) -> nn.Sequential:
    """The network on rows of codes `(N, context)`, scores `(N, characters)`."""
    layers = [nn.Flatten(), nn.Linear(context * width, hidden), nn.Tanh(), nn.Linear(hidden, characters)]
    return nn.Sequential(Embedding(characters, width), *layers)
