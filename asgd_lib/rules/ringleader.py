"""Ringleader ASGD: rounds in which everybody's mean gradient is used, and everybody gets one new model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import positive
from asgd_lib.rules.base import Arrival
from asgd_lib.rules.tuples import put

Sums = tuple[tuple[Tensor | None, int], ...]  # by worker: sum of gradients (..., d), and how many


class RingleaderState(NamedTuple):
    x: Tensor
    k: int
    n: int
    models: tuple[Tensor, ...]  # (..., d) what each worker computes on
    sums: Sums  # of this round
    later: Sums  # of workers that have their new model already: of the next round
    g: Tensor  # (..., d) (1/n) sum_i of the workers' means, once all have one
    served: tuple[bool, ...]  # who has had a new model in this round; nobody while gradients are still missing


@dataclass(frozen=True)
class Ringleader:
    """Step with the mean of all workers' mean gradients, n times a round: x <- x - lr (1/n) sum_i G_i / b_i.

    First the server collects until everybody has given a gradient; workers go on at the models that they have. The last of these first
    gradients makes the first of n updates; each worker not yet served then adds its next gradient, makes an update and gets the new model.
    What served workers send meanwhile is kept for the next round. Delays are at most 2 n - 2 updates.
    Source: Ringleader ASGD 2025; that a worker keeps its model between its updates is our reading of "each worker gets a new model once".
    """

    lr: float | Tensor

    def __post_init__(self):
        positive("lr", self.lr)

    def init(self, x0: Tensor, n: int) -> RingleaderState:
        empty = ((None, 0),) * n
        return RingleaderState(x0, 0, n, (x0,) * n, empty, empty, torch.zeros_like(x0), (False,) * n)

    def read(self, s: RingleaderState, worker: int) -> Tensor:
        return s.models[worker]

    def receive(self, s: RingleaderState, a: Arrival) -> RingleaderState:
        i = a.worker
        if s.served[i]:
            return s._replace(later=_add(s.later, i, a.grad))
        sums = _add(s.sums, i, a.grad)
        if any(s.served):
            g = s.g + (_mean(sums[i]) - _mean(s.sums[i])) / s.n
        elif all(number for _, number in sums):
            g = torch.zeros_like(s.x)
            for entry in sums:
                g = g + _mean(entry)
            g = g / s.n
        else:
            return s._replace(sums=sums)
        x = s.x - self.lr * g
        models, served = put(s.models, i, x), put(s.served, i, True)
        if all(served):
            return RingleaderState(x, s.k + 1, s.n, models, s.later, ((None, 0),) * s.n, g, (False,) * s.n)
        return RingleaderState(x, s.k + 1, s.n, models, sums, s.later, g, served)


def _add(sums: Sums, i: int, grad: Tensor) -> Sums:
    total, number = sums[i]
    return put(sums, i, (grad.clone() if total is None else total + grad, number + 1))


def _mean(entry: tuple[Tensor, int]) -> Tensor:
    return entry[0] / entry[1]
