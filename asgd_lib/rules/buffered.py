"""Rules that collect gradients and then step with their mean: minibatch SGD, FedBuff, K-async and K-sync."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import count, positive
from asgd_lib.rules.base import Arrival


class BufferedState(NamedTuple):
    x: Tensor
    k: int
    n: int
    total: Tensor  # (..., d) sum of the gradients that wait
    count: int


@dataclass(frozen=True)
class Buffered:
    """Step with the mean of every `size` gradients, stale or not: x <- x - lr (1 / size) sum g.

    `size = None` means n: behind a barrier this is minibatch SGD. Otherwise it is FedBuff (Nguyen et al. 2022) with two differences:
    clients take one local step, and the server's buffer holds plain gradients without staleness weights.
    """

    lr: float | Tensor
    size: int | None = None
    word: ClassVar[str] = "buffer"  # what users call the size

    def __post_init__(self):
        positive("lr", self.lr)
        if self.size is not None:
            count(self.word, self.size, remedy="1 applies every gradient at once, as asynchronous SGD does.")

    def init(self, x0: Tensor, n: int) -> BufferedState:
        return BufferedState(x0, 0, n, torch.zeros_like(x0), 0)

    def batch_size(self, n: int) -> int:
        """Gradients in a step."""
        return self.size or n

    def receive(self, s: BufferedState, a: Arrival) -> BufferedState:
        size = self.batch_size(s.n)
        total, waiting = s.total + a.grad, s.count + 1
        if waiting < size:
            return BufferedState(s.x, s.k, s.n, total, waiting)
        return BufferedState(s.x - self.lr * (total / size), s.k + 1, s.n, torch.zeros_like(total), 0)


@dataclass(frozen=True)
class FirstK(Buffered):
    """Step with the mean of the first `size` distinct workers' gradients (None: of half of them, rounded up).

    Whoever has delivered waits for the step (policy `FirstOf`). The others go on, and are late: K-async; or they start again: K-sync, also
    known as synchronous SGD with backup workers. All n workers make minibatch SGD.
    Source: Dutta et al. 2018. Their K-batch-async, where nobody waits, is FedBuff with plain gradients.
    """

    word: ClassVar[str] = "k"

    def init(self, x0: Tensor, n: int) -> BufferedState:
        if self.size is not None:
            count("k", self.size, most=n, remedy="The server waits for distinct workers.")
        return super().init(x0, n)

    def batch_size(self, n: int) -> int:
        return self.size or (n + 1) // 2
