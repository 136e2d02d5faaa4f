"""A method in a file of its own: copy it, change it, and run `make compare METHOD=path/to/file.py:Name`."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from asgd_lib.policies import Greedy


class Sent(NamedTuple):
    """x, k and n, as in every state, and the model on which each worker computes."""

    x: Tensor  # (..., d)
    k: int  # updates made so far
    n: int  # workers
    models: tuple[Tensor, ...]  # n models (..., d)


@dataclass(frozen=True)
class DelayCompensated:
    """x <- x - lr (g + strength g*g*(x - y)), y being the model on which g was computed. Source: Zheng et al. 2017, DC-ASGD-c."""

    lr: float
    strength: float = 0.04
    batched = ("lr", "strength")
    policy = Greedy()

    def init(self, x0, n):
        return Sent(x0, 0, n, (x0,) * n)

    def read(self, s, worker):
        return s.models[worker]

    def receive(self, s, a):
        correction = self.strength * a.grad * a.grad * (s.x - s.models[a.worker])
        x = s.x - self.lr * (a.grad + correction)
        return Sent(x, s.k + 1, s.n, s.models[: a.worker] + (x,) + s.models[a.worker + 1 :])
