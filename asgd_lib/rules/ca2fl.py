"""CA2FL: a buffer whose mean is corrected by everybody's cached gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import count, positive
from asgd_lib.rules.base import Arrival


class CachedState(NamedTuple):
    x: Tensor
    k: int
    n: int
    h: Tensor  # (..., d) mean of the cache
    cache: tuple[Tensor | None, ...]  # each worker's gradient as of the last step; None stands for zeros
    arrived: tuple[tuple[int, Tensor], ...]  # since the last step, in order
    difference: Tensor  # (..., d) sum of (gradient - cached one) since the last step


@dataclass(frozen=True)
class CA2FL:
    """Every `buffer` arrivals S step with v = h + (1/|S|) sum_{i in S} (g_i - h_i), x <- x - lr v, then h_i <- g_i, h <- (1/n) sum_i h_i.

    With a buffer of one and the weight 1/n in place of 1 on the difference this would be DuDe-ASGD.
    Source: CA2FL, ICLR 2024, with one local step. The cache begins at zero; where a worker arrives twice in a buffer both differences
    are to its gradient as of the last step, and the later one is kept (our reading).
    """

    lr: float | Tensor
    buffer: int = 4

    def __post_init__(self):
        positive("lr", self.lr)
        count("buffer", self.buffer)

    def init(self, x0: Tensor, n: int) -> CachedState:
        return CachedState(x0, 0, n, torch.zeros_like(x0), (None,) * n, (), torch.zeros_like(x0))

    def receive(self, s: CachedState, a: Arrival) -> CachedState:
        old = s.cache[a.worker]
        difference = s.difference + (a.grad if old is None else a.grad - old)
        arrived = s.arrived + ((a.worker, a.grad.clone()),)
        if len(arrived) < self.buffer:
            return s._replace(arrived=arrived, difference=difference)
        x = s.x - self.lr * (s.h + difference / self.buffer)
        h, cache = s.h, list(s.cache)
        for worker, grad in dict(arrived).items():
            h = h + (grad if cache[worker] is None else grad - cache[worker]) / s.n
            cache[worker] = grad
        return CachedState(x, s.k + 1, s.n, h, tuple(cache), (), torch.zeros_like(difference))
