"""The protocol of a rule, and the counters that fall out of it.

Glossary, here and everywhere: `x` model, `k` updates made so far, `n` workers, `lr` step size, `delay` updates made between the reading
of a gradient's model and its arrival (a fresh gradient has delay 0; papers that count it as 1 are named where it matters).
Shapes: R runs, d coordinates. `x` and `grad` are `(..., d)`, in a replay `(R, d)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from asgd_lib.trace import Trace

_BLOCK_BYTES = 32 << 10  # of models that are made together
_LEAST = 8  # fewer are faster one by one


class Arrival(NamedTuple):
    """One gradient at the server. `grad` may be a view into a larger block: clone what you keep for long."""

    grad: Tensor  # (..., d), at the model that the worker read
    worker: int  # who sent it, 0 to n - 1
    delay: int  # updates made since that model was read
    seconds: float  # s, how long the worker computed


class Arrivals(NamedTuple):
    """Gradients that arrive one after the other, all of them at models read before the first."""

    grads: list[Tensor]  # each (..., d)
    workers: list[int]  # who sent each
    read_k: list[int]  # updates that the model read had seen: the delay is k - read_k, k being the updates when the gradient arrives
    seconds: list[float]  # s, how long each was computed


class State(NamedTuple):
    """The least a state must have; rules add fields of their own."""

    x: Tensor  # (..., d) the model
    k: int  # updates made so far
    n: int  # workers


class Rule(Protocol):
    """A frozen dataclass whose first field is `lr`, with two pure functions.

    A rule whose workers hold models of their own also has `read(s, worker)`, the model `(..., d)` at which that worker computes next (by
    default the server's `x`). One whose workers may have to wait has `ready(s, worker)`, and one whose workers do not report every gradient
    `reports(s, worker)`, whether the next one is followed by a message. One whose workers sum models among themselves has
    `collective(s)`, how many such sums are complete and the size of the last one in models, and `awaits(s, worker)`, the number of the sum
    that the worker's next job cannot begin without. A state may count `rounds` and vectors `sent`, for the history.

    A rule may offer `receive_all(s, arrivals)`, an iterator over the states after each of several arrivals, bit by bit those of `receive`.
    All but the models of a state may be written over by the next: whoever asks for one has done with those before it.

    In a replay `lr` (and what the class names in `batched`) may be a tensor `(R, 1)`, one value a run.
    """

    lr: float | Tensor

    def init(self, x0: Tensor, n: int) -> State:
        """The state before the first arrival, with `k = 0`; ValueError where the rule does not fit `n` workers."""

    def receive(self, s: State, a: Arrival) -> State:
        """The state after one arrival. Return `s` itself to throw the gradient away. Never write into a tensor."""


def descend(x: Tensor, lr: float | Tensor, grads: list[Tensor]) -> Iterator[Tensor]:
    """The models x - lr g_1, x - lr g_1 - lr g_2, ...: small ones some in a block, which costs half as much where they are many.

    A block lives until the last of its models has been used: who holds a model holds no more than _BLOCK_BYTES.
    """
    fit = _BLOCK_BYTES // max(x.nbytes, 1) if x.is_cpu and x.dtype == torch.float64 else 0  # in whose sums torch rounds after each term
    most = max(fit, _LEAST - 1)
    for first in range(0, len(grads), most):
        some = grads[first : first + most]
        models = _in_a_block(x, lr, some) if len(some) >= _LEAST else _one_by_one(x, lr, some)
        for model in models:
            x = model  # and the one before is let go
            yield x


def _one_by_one(x: Tensor, lr: float | Tensor, grads: list[Tensor]) -> Iterator[Tensor]:
    """Each model takes the memory of its step, which is in the caches."""
    for grad in grads:
        step = lr * grad
        x = torch.sub(x, step, out=step)
        yield x


def _in_a_block(x: Tensor, lr: float | Tensor, grads: list[Tensor]) -> tuple[Tensor, ...]:
    """Each model is the first one and its steps, added one after the other."""
    block = torch.stack(grads).mul_(-lr)
    block[0].add_(x)
    return block.cumsum_(0).unbind(0)


class Counter:
    """A rule at work on a model without coordinates: its update counts and delays, and nothing else."""

    def __init__(self, rule: Rule, n: int):
        self.rule = rule
        self.state = rule.init(torch.empty(0), n)
        self.updates = [0]  # updates[e]: k after e arrivals
        self._nothing = torch.empty(0)

    def receive(self, worker: int, read: int, seconds: float) -> int:
        """Feed one arrival; the delay, in updates, that it had."""
        delay = self.state.k - self.updates[read]
        self.state = self.rule.receive(self.state, Arrival(self._nothing, worker, delay, seconds))
        self.updates.append(self.state.k)
        return delay


def over_runs(rule: Rule, *, like: Tensor, **values: Sequence[float]) -> Rule:
    """The rule with one value a run, tensors (R, 1) with the dtype and device of `like`, for each of `values` (default: its own, R = 1)."""
    names = getattr(type(rule), "batched", ("lr",))
    values = values or {name: [float(getattr(rule, name))] for name in names}
    return replace(rule, **{name: torch.tensor(v, dtype=torch.float64).view(-1, 1).to(like) for name, v in values.items()})


def update_delays(trace: Trace, rule: Rule) -> np.ndarray:
    """(E,) delay of every arrival in server updates, as `rule` counts them on this trace."""
    counter = Counter(rule, trace.n)
    rows = zip(trace.worker.tolist(), trace.read.tolist(), (trace.end - trace.start).tolist(), strict=True)
    return np.array([counter.receive(*row) for row in rows], dtype=np.int64)
