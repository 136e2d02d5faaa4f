"""Rules whose workers hold a model of their own and report now and then: Hogwild over local data sets, and local SGD."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import choice, count, non_negative, positive
from asgd_lib.rules.base import Arrival
from asgd_lib.rules.tuples import put as _put  # as notebook 05 shows it

GROWTHS = ("constant", "linear", "log")


class Client(NamedTuple):
    """What one worker knows."""

    w: Tensor  # (..., d) its model
    total: Tensor  # (..., d) gradients of its round so far, not yet sent
    done: int  # gradients of its round so far
    round: int  # rounds it has sent


class LocalState(NamedTuple):
    x: Tensor  # (..., d) the server's model
    k: int  # messages that the server has applied
    n: int
    clients: tuple[Client, ...]
    rounds: int  # rounds that all workers have completed; the version last broadcast
    sent: int  # models and messages sent, each d numbers


@dataclass(frozen=True)
class HogwildLocal:
    """Rounds of local steps that the server adds up on arrival, with round sizes that may grow: v <- v - lr_i U.

    Worker c computes gradients at its own w, with w <- w - lr_i g and U <- U + g; after its share of s_i gradients it sends U, the sum, and
    goes on. Once every worker has sent round k the server broadcasts (v, k + 1), and a worker in the middle of round i keeps what it has
    not sent: w <- v - lr_i U. A worker may begin round i only if i <= k + `gap`; a gap of 0 is synchronous.

    Round sizes s_i over all workers: `samples` ("constant"), `samples` (i + 1) ("linear") or `samples` (i + 1) / ln(i + 2) ("log"), each
    worker taking an even share of at least one. Round steps lr_i = lr / (1 + `decay` t_i), t_i = s_0 + ... + s_{i-1}, or with the square
    root of t_i for `schedule = "sqrt"`; `decay = 0` is a constant step.

    Source: Nguyen et al., arXiv:2010.14763; the pseudo-code is our reconstruction. The paper draws each worker's share of s_i at random
    (here it is even), and lets the wait condition bind within a round (here at its beginning).
    """

    lr: float | Tensor
    samples: int = 10
    growth: str = "linear"
    gap: int = 1
    decay: float = 0.0
    schedule: str = "inverse"

    def __post_init__(self):
        positive("lr", self.lr)
        count("samples", self.samples)
        choice("growth", self.growth, GROWTHS)
        count("gap", self.gap, least=0, remedy="0 is synchronous.")
        non_negative("decay", self.decay)
        choice("schedule", self.schedule, ("inverse", "sqrt"))

    def size(self, i: int, n: int) -> int:
        """Gradients of each of `n` workers in round `i`."""
        return _share(self.samples, self.growth, n, i)

    def before(self, i: int, n: int) -> int:
        """Gradients of all workers in the rounds before round `i`."""
        return _before(self.samples, self.growth, n, i)

    def lr_of(self, i: int, n: int) -> float | Tensor:
        """The step size of round `i`."""
        if not self.decay:
            return self.lr
        before = self.before(i, n)
        return self.lr / (1.0 + self.decay * (before**0.5 if self.schedule == "sqrt" else before))

    def init(self, x0: Tensor, n: int) -> LocalState:
        client = Client(x0, torch.zeros_like(x0), 0, 0)
        return LocalState(x0, 0, n, (client,) * n, 0, n)

    def read(self, s: LocalState, worker: int) -> Tensor:
        """The model at which `worker` computes its next gradient."""
        return s.clients[worker].w

    def ready(self, s: LocalState, worker: int) -> bool:
        """Whether `worker` may compute: its round is not too far ahead (and, once begun, never becomes so)."""
        return s.clients[worker].round <= s.rounds + self.gap

    def reports(self, s: LocalState, worker: int) -> bool:
        """Whether the next gradient of `worker` ends its round, so that a message follows it."""
        client = s.clients[worker]
        return client.done + 1 >= self.size(client.round, s.n)

    def receive(self, s: LocalState, a: Arrival) -> LocalState:
        c = s.clients[a.worker]
        lr = self.lr_of(c.round, s.n)
        c = Client(c.w - lr * a.grad, c.total + a.grad, c.done + 1, c.round)
        if c.done < self.size(c.round, s.n):
            return s._replace(clients=_put(s.clients, a.worker, c))
        x = self.merge(s, lr * c.total)
        c = Client(c.w, torch.zeros_like(c.total), 0, c.round + 1)
        s = LocalState(x, s.k + 1, s.n, _put(s.clients, a.worker, c), s.rounds, s.sent + 1)
        return self._broadcast(s) if min(other.round for other in s.clients) > s.rounds else s

    def merge(self, s: LocalState, step: Tensor) -> Tensor:
        """The server's model after a worker's whole step of a round."""
        return s.x - step

    def _broadcast(self, s: LocalState) -> LocalState:
        clients = tuple(c._replace(w=s.x - self.lr_of(c.round, s.n) * c.total) for c in s.clients)
        return s._replace(clients=clients, rounds=s.rounds + 1, sent=s.sent + s.n)


@dataclass(frozen=True)
class LocalSGD(HogwildLocal):
    """Synchronous rounds of `local_steps` steps a worker, then the mean of their models: x <- x - (1/n) sum_c lr sum_h g_{c,h}.

    Source: local SGD, FedAvg with full participation (McMahan et al. 2017; Stich 2019).
    """

    local_steps: int = 5
    growth: str = "constant"
    gap: int = 0

    def __post_init__(self):
        super().__post_init__()
        count("local_steps", self.local_steps)

    def size(self, i: int, n: int) -> int:
        return self.local_steps

    def before(self, i: int, n: int) -> int:
        return self.local_steps * n * i

    def merge(self, s: LocalState, step: Tensor) -> Tensor:
        return s.x - step / s.n


def _share(samples: int, growth: str, n: int, i: int) -> int:
    factor = {"constant": 1.0, "linear": i + 1.0, "log": (i + 1.0) / math.log(i + 2.0)}[growth]
    return max(1, math.ceil(samples * factor / n))


def _before(samples: int, growth: str, n: int, i: int) -> int:
    sums = _sums(samples, growth, n)
    while len(sums) <= i:
        sums.append(sums[-1] + n * _share(samples, growth, n, len(sums) - 1))
    return sums[i]


@lru_cache(maxsize=64)
def _sums(samples: int, growth: str, n: int) -> list[int]:
    """Gradients of all workers before round 0, 1, ..., as far as anybody has asked."""
    return [0]
