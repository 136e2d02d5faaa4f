"""What any rule may wear: momentum on its steps, clipped gradients, weight decay.

A wrapper takes `lr` first, like every rule, and `of`, the rule it wraps: a class or a function of `lr` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from asgd_lib.checks import inside, non_negative, positive
from asgd_lib.rules.asgd import SGD
from asgd_lib.rules.base import Arrival, Rule, State
from asgd_lib.rules.mindflayer import MindFlayer


class WrappedState(NamedTuple):
    x: Tensor
    k: int
    n: int
    inner: State
    u: Tensor | None = None  # (..., d) momentum, in units of steps


@dataclass(frozen=True)
class _Wrapper:
    lr: float | Tensor

    @cached_property
    def inner(self) -> Rule:
        """The wrapped rule, with this step size."""
        rule = self.of(lr=self.lr)
        if any(hasattr(rule, name) for name in ("read", "ready", "reports")):
            raise ValueError(f"{type(self).__name__} cannot wrap {type(rule).__name__}, whose workers have models of their own.")
        return rule

    def __post_init__(self):
        positive("lr", self.lr)
        _ = self.inner  # what cannot be wrapped is refused here, and not in the middle of a run

    def init(self, x0: Tensor, n: int) -> WrappedState:
        return WrappedState(x0, 0, n, self.inner.init(x0, n))


@dataclass(frozen=True)
class Momentum(_Wrapper):
    """Heavy-ball momentum over the steps of another rule: u <- beta u + (step of `of`), x <- x - u at each of its updates.

    Over a minibatch rule this is synchronous momentum SGD. Source: Polyak 1964, heavy ball; the order within an update is ours.
    """

    momentum: float | Tensor = 0.9
    of: Callable[..., Rule] = SGD
    batched: ClassVar[tuple[str, ...]] = ("lr", "momentum")

    def __post_init__(self):
        super().__post_init__()
        inside("momentum", self.momentum, 0.0, 1.0, open_high=True)
        rule = self.inner
        while isinstance(rule, _Wrapper):
            if isinstance(rule, Decayed):
                raise ValueError("Momentum does not show the model to the rule it wraps: put Decayed around Momentum, not into it.")
            rule = rule.inner
        if isinstance(rule, MindFlayer):
            raise ValueError(f"Momentum cannot wrap {type(rule).__name__}, whose steps go on after they are counted as an update.")

    def init(self, x0: Tensor, n: int) -> WrappedState:
        zero = torch.zeros_like(x0)
        return WrappedState(x0, 0, n, self.inner.init(zero, n), zero)

    def receive(self, s: WrappedState, a: Arrival) -> WrappedState:
        inner = self.inner.receive(s.inner, a)
        if inner is s.inner:
            return s
        if inner.k == s.k:
            return s._replace(inner=inner)
        # The inner rule works from zero, so that its model is the step itself, to the last bit.
        u = self.momentum * s.u - inner.x
        return WrappedState(s.x - u, inner.k, s.n, _at_zero(inner), u)


@dataclass(frozen=True)
class Clipped(_Wrapper):
    """Another rule fed with clipped gradients, g min(1, `radius` / |g|). Source: Pascanu, Mikolov and Bengio 2013."""

    radius: float = 1.0
    of: Callable[..., Rule] = SGD

    def __post_init__(self):
        super().__post_init__()
        positive("radius", self.radius)

    def receive(self, s: WrappedState, a: Arrival) -> WrappedState:
        norm = a.grad.norm(dim=-1, keepdim=True)
        return _follow(s, self.inner.receive(s.inner, a._replace(grad=a.grad * (self.radius / norm.clamp(min=self.radius)))))


@dataclass(frozen=True)
class Decayed(_Wrapper):
    """Another rule fed with g + `weight_decay` x, x being the server's model on arrival. Source: the gradient of `weight_decay`/2 |x|^2."""

    weight_decay: float = 1e-4
    of: Callable[..., Rule] = SGD

    def __post_init__(self):
        super().__post_init__()
        non_negative("weight_decay", self.weight_decay)

    def receive(self, s: WrappedState, a: Arrival) -> WrappedState:
        return _follow(s, self.inner.receive(s.inner, a._replace(grad=a.grad + self.weight_decay * s.x)))


def _at_zero(s: State) -> State:
    """The state with its model at zero, and those of the rules that it wraps."""
    s = s._replace(x=torch.zeros_like(s.x))
    return s._replace(inner=_at_zero(s.inner)) if isinstance(s, WrappedState) else s


def _follow(s: WrappedState, inner: State) -> WrappedState:
    return s if inner is s.inner else WrappedState(inner.x, inner.k, s.n, inner)
