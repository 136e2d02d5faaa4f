"""Rules that apply every gradient at once: asynchronous SGD and its reweighted forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as numbers
from itertools import repeat
from typing import NamedTuple

from torch import Tensor

from asgd_lib.checks import choice, count, positive
from asgd_lib.rules.base import Arrival, Arrivals, State, descend


@dataclass(frozen=True)
class SGD:
    """Apply each gradient on arrival, however old: x_k = x_{k-1} - lr g_k.

    Source: Mishchenko, Bach, Even and Woodworth 2022 (arXiv:2206.07638), asynchronous SGD with a constant step size; as printed.
    """

    lr: float | Tensor

    def __post_init__(self):
        positive("lr", self.lr)

    def init(self, x0: Tensor, n: int) -> State:
        return State(x0, 0, n)

    def receive(self, s: State, a: Arrival) -> State:
        return State(s.x - self.lr * a.grad, s.k + 1, s.n)

    def receive_all(self, s: State, a: Arrivals) -> Iterator[State]:
        return map(State, descend(s.x, self.lr, a.grads), numbers(s.k + 1), repeat(s.n))


@dataclass(frozen=True)
class Chosen(SGD):
    """Asynchronous SGD on some of the workers, whose numbers are `workers` (None: all of them); the others do nothing.

    With the fastest m that `theory.fastest_workers` names it is as fast as theory allows, if the times are known and do not change.
    Source: "naive optimal ASGD" of Ringmaster ASGD 2025.
    """

    workers: Sequence[int] | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.workers is not None and (not len(self.workers) or len(set(self.workers)) < len(self.workers)):
            raise ValueError(f"workers must name at least one worker, and none twice; got {self.workers!r}.")

    def init(self, x0: Tensor, n: int) -> State:
        for worker in self.workers or ():
            count("every worker", worker, least=0, most=n - 1)
        return super().init(x0, n)


@dataclass(frozen=True)
class DelayAdaptive:
    """Shrink the step of a late gradient: x_k = x_{k-1} - lr min(1, n / tau_k) g_k, or drop it where tau_k > 2n.

    tau_k counts a fresh gradient as 1, as the authors' code does (tau_k = delay + 1).
    Source: arXiv:2206.07638; the formula is that of the authors' notebook, lr n / max(n, tau_k). With `drop`, gradients with
    tau_k <= 2n keep the full step and later ones are thrown away, which the paper's analysis also allows.
    """

    lr: float | Tensor
    drop: bool = False

    def __post_init__(self):
        positive("lr", self.lr)
        choice("drop", self.drop, (False, True))

    def init(self, x0: Tensor, n: int) -> State:
        return State(x0, 0, n)

    def receive(self, s: State, a: Arrival) -> State:
        tau = a.delay + 1
        if self.drop:
            return s if tau > 2 * s.n else State(s.x - self.lr * a.grad, s.k + 1, s.n)
        return State(s.x - self.lr * (s.n / max(s.n, tau)) * a.grad, s.k + 1, s.n)


class RescaledState(NamedTuple):
    x: Tensor
    k: int
    n: int
    seconds: tuple[float, ...]  # total seconds of each worker's gradients
    count: tuple[int, ...]


@dataclass(frozen=True)
class Rescaled:
    """Give worker i a step in proportion to its compute time t_i: lr_i = lr t_i mean_j(1 / t_j); all then contribute equally a second.

    The scale keeps the mean step of an arrival at `lr`. `times` are the known t_i (seconds); by default each is estimated by the mean of
    the worker's own gradients so far, over the workers seen so far.
    Source: Rescaled ASGD (2026), step sizes in proportion to the compute times; normalisation and estimation are our reading.
    """

    lr: float | Tensor
    times: Sequence[float] | None = None

    def __post_init__(self):
        positive("lr", self.lr)
        if self.times is not None:
            positive("times", self.times)

    def init(self, x0: Tensor, n: int) -> RescaledState:
        if self.times is not None and len(self.times) != n:
            raise ValueError(f"times must hold one time for each of the {n} workers; got {len(self.times)}.")
        known = self.times is not None
        return RescaledState(x0, 0, n, tuple(self.times) if known else (0.0,) * n, (int(known),) * n)

    def receive(self, s: RescaledState, a: Arrival) -> RescaledState:
        i, seconds, count = a.worker, s.seconds, s.count
        if self.times is None:
            seconds = seconds[:i] + (seconds[i] + a.seconds,) + seconds[i + 1 :]
            count = count[:i] + (count[i] + 1,) + count[i + 1 :]
        ratios = [seconds[i] * c / (t * count[i]) for c, t in zip(count, seconds, strict=True) if t > 0]  # t_i / t_j; exactly 1 for j = i
        weight = sum(ratios) / len(ratios) if ratios and seconds[i] > 0 else 1.0
        return RescaledState(s.x - self.lr * weight * a.grad, s.k + 1, s.n, seconds, count)
