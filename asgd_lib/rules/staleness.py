"""Asynchronous SGD that weighs or refuses late gradients: Ringmaster, staleness-aware steps, Picky SGD, FedAsync."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from asgd_lib.checks import count, inside, non_negative, positive
from asgd_lib.rules.base import Arrival, State
from asgd_lib.rules.tuples import put


@dataclass(frozen=True)
class Ringmaster:
    """Apply gradients with a delay below `threshold` (None: n; `math.inf`: all of them) at once, and throw the others away.

    With `stop` no such gradient is ever computed: a job whose delay reaches the threshold is stopped, and its worker starts again at the
    present model (policy `Stop`). In theory the threshold is max(1, sigma^2 / eps).
    Source: Ringmaster ASGD 2025, both variants; delays count a fresh gradient as 0.
    """

    lr: float | Tensor
    threshold: float | None = None
    stop: bool = False

    def __post_init__(self):
        positive("lr", self.lr)
        if self.threshold is not None and self.threshold != math.inf:
            count("threshold", self.threshold, remedy="math.inf keeps every gradient.")

    def init(self, x0: Tensor, n: int) -> State:
        return State(x0, 0, n)

    def receive(self, s: State, a: Arrival) -> State:
        threshold = s.n if self.threshold is None else self.threshold
        return State(s.x - self.lr * a.grad, s.k + 1, s.n) if a.delay < threshold else s


@dataclass(frozen=True)
class StalenessAware:
    """Damp late gradients: x_k = x_{k-1} - lr (1 + delay)^{-power} g_k.

    Source: Zhang, Gupta, Lian and Liu 2016, staleness-aware asynchronous SGD, lr / tau with tau = 1 + delay; other powers as in FedAsync's
    polynomial weights.
    """

    lr: float | Tensor
    power: float = 1.0

    def __post_init__(self):
        positive("lr", self.lr)
        non_negative("power", self.power)

    def init(self, x0: Tensor, n: int) -> State:
        return State(x0, 0, n)

    def receive(self, s: State, a: Arrival) -> State:
        return State(s.x - self.lr * (1 + a.delay) ** -self.power * a.grad, s.k + 1, s.n)


class SentState(NamedTuple):
    x: Tensor
    k: int
    n: int
    models: tuple[Tensor, ...]  # (..., d) what each worker was sent last, and computes on
    versions: tuple[int, ...]  # updates made by then


class _Sent:
    """The server remembers which model each worker has; a worker whose job was lost computes on it again."""

    def init(self, x0: Tensor, n: int) -> SentState:
        return SentState(x0, 0, n, (x0,) * n, (0,) * n)

    def read(self, s: SentState, worker: int) -> Tensor:
        return s.models[worker]

    def _send(self, s: SentState, x: Tensor, i: int) -> SentState:
        """One update, to `x`, which worker `i` is sent."""
        return SentState(x, s.k + 1, s.n, put(s.models, i, x), put(s.versions, i, s.k + 1))


@dataclass(frozen=True)
class Picky(_Sent):
    """Apply a gradient only if the model has not moved far since it was read: x <- x - lr g where |x - y| <= `radius`, y the model read.

    An arrival that is refused counts as an update without a step, because each run of a batch decides for itself.
    Source: Cohen et al. 2021, Picky SGD; the radius, in theory of the order of eps / L, is a parameter here.
    """

    lr: float | Tensor
    radius: float = 1.0

    def __post_init__(self):
        positive("lr", self.lr)
        positive("radius", self.radius)

    def receive(self, s: SentState, a: Arrival) -> SentState:
        near = (s.x - s.models[a.worker]).norm(dim=-1, keepdim=True) <= self.radius
        return self._send(s, s.x - self.lr * (near * a.grad), a.worker)


@dataclass(frozen=True)
class FedAsync(_Sent):
    """Mix the worker's model into the server's, less the older it is: x <- (1 - a) x + a (y - lr g), a = `mixing` (1 + delay)^{-`power`}.

    y is the model that the worker was sent, delay the updates since. Source: Xie, Koyejo and Gupta 2019, FedAsync with the polynomial
    weight and the authors' mixing weight 0.6; one local step and no proximal term.
    """

    lr: float | Tensor
    mixing: float = 0.6
    power: float = 0.5

    def __post_init__(self):
        positive("lr", self.lr)
        positive("mixing", self.mixing)
        inside("mixing", self.mixing, 0.0, 1.0)
        non_negative("power", self.power)

    def receive(self, s: SentState, a: Arrival) -> SentState:
        weight = self.mixing * (1 + s.k - s.versions[a.worker]) ** -self.power
        theirs = s.models[a.worker] - self.lr * a.grad
        return self._send(s, s.x + weight * (theirs - s.x), a.worker)
