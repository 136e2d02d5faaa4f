"""Rules that step with the recent part of everybody's last gradients: DASA and ACED."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import count, positive
from asgd_lib.rules.base import Arrival
from asgd_lib.rules.tuples import put


class AgedState(NamedTuple):
    x: Tensor
    k: int
    n: int
    table: tuple[Tensor | None, ...]  # each worker's last gradient (..., d)
    versions: tuple[int, ...]  # updates that the model had seen at which it was computed


class _Aged:
    """On every arrival, once everybody has a gradient in the table, step with the mean of those whose age is within the `limit`."""

    def limit(self, ages: list[int]) -> float:
        """The greatest age that counts."""
        raise NotImplementedError

    def init(self, x0: Tensor, n: int) -> AgedState:
        return AgedState(x0, 0, n, (None,) * n, (0,) * n)

    def receive(self, s: AgedState, a: Arrival) -> AgedState:
        table, versions = put(s.table, a.worker, a.grad.clone()), put(s.versions, a.worker, s.k - a.delay)
        if any(row is None for row in table):
            return s._replace(table=table, versions=versions)
        ages = [s.k - version for version in versions]
        oldest = self.limit(ages)
        chosen = [row for row, age in zip(table, ages, strict=True) if age <= oldest]
        g = torch.zeros_like(s.x)
        for row in chosen:
            g += row
        return AgedState(s.x - self.lr * (g / max(1, len(chosen))), s.k + bool(chosen), s.n, table, versions)


@dataclass(frozen=True)
class DASA(_Aged):
    """Step with the mean of the gradients whose age is at most the median age: x <- x - lr (1/|I|) sum_{i in I} G_i.

    The age of a worker's last gradient is the number of updates since its model was read. Data are taken to be alike: where they are not,
    the fast workers' weigh more.
    Source: Dal Fabbro et al. 2024, DASA, for gradients in place of Markovian samples. One update an arrival, and none before everybody's
    first gradient, are our reconstruction.
    """

    lr: float | Tensor

    def __post_init__(self):
        positive("lr", self.lr)

    def limit(self, ages: list[int]) -> float:
        return median(ages)


@dataclass(frozen=True)
class ACED(_Aged):
    """Step with the mean of everybody's last gradient, without those more than `oldest` updates old (default: none; that is DuDe-ASGD).

    The age of a worker's last gradient is the number of updates since its model was read.
    Source: ACE and ACED 2025, all-client aggregation; where nobody is young enough there is no step, and the weight of those who are is
    one over their number (our reading).
    """

    lr: float | Tensor
    oldest: float = math.inf

    def __post_init__(self):
        positive("lr", self.lr)
        if self.oldest != math.inf:
            count("oldest", self.oldest, least=0)

    def limit(self, ages: list[int]) -> float:
        return self.oldest
