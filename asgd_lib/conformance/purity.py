"""`receive` is a function: it writes into nothing, remembers nothing but its state, and answers alike when asked again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asgd_lib.conformance.failure import Make, demand
from asgd_lib.conformance.setting import equal, hand_made, named_tensors, quadratic
from asgd_lib.rules import Arrival, State
from asgd_lib.rules.form import ARRIVALS, hand_delay

_NEW = "workers still hold old models, so return new tensors: x = s.x - step, never x -= step nor x.sub_(step)"


def writes_nothing(make: Make) -> None:
    """`receive` writes into no tensor, keeps no view of a gradient, and answers the same question twice alike."""
    method, problem = make(0.1), quadratic(sigma=1.0)
    rule, x0 = method.rule, problem.x0
    state = rule.init(x0, 4)
    demand(x0._version == 0 and equal(x0, quadratic().x0), f"init wrote into x0: {_NEW}.")
    for e, worker in enumerate(hand_made(method)):
        _plain("s", state)
        block = torch.full((3, problem.d), 0.1 * (e + 1), dtype=torch.float64)
        arrival = Arrival(block[1], worker, hand_delay(e, state.k), 1.0)
        given = [*named_tensors(state), ("a.grad, or beside it", block)]
        kept, versions = [t.clone() for _, t in given], [t._version for _, t in given]
        after = rule.receive(state, arrival)
        for (name, now), old, version in zip(given, kept, versions, strict=True):
            wrote = now._version != version or not equal(now, old)
            demand(not wrote, f"receive wrote into {name} at arrival {e}: {_NEW}.")
        again = rule.receive(state, arrival)
        if not same(after, again) or (after is state) != (again is state):
            demand(False, _why_different(lambda s=state, a=arrival: rule.receive(s, a), e))
        for name, held in named_tensors(after):
            view = held.untyped_storage().data_ptr() == block.untyped_storage().data_ptr()
            demand(not view, f"{name} keeps a view of a.grad at arrival {e}, whose memory is used again: keep a.grad.clone().")
        say = f"receive threw arrival {e} away but returned a new state: return `s` itself, so that the arrival is not counted as used"
        demand(after is state or not same(after, state), f"{say}.")
        state = after
    demand(state.k > 0, f"After {ARRIVALS} arrivals k is still 0: receive must count its updates, State(x, s.k + 1, s.n).")


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, tensors to the last bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and equal(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def _plain(name: str, value: Any) -> None:
    """Nonconforming unless a state is made of what cannot change, or is known to be a tensor."""
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", range(len(value)))
        for field, part in zip(fields, value, strict=True):
            _plain(f"{name}.{field}" if isinstance(field, str) else f"{name}[{field}]", part)
        return
    plain = value is None or isinstance(value, (Tensor, bool, int, float, str))
    say = f"{name} is a {type(value).__name__}: a state is a NamedTuple of tensors, numbers and tuples of them, because states of earlier"
    demand(plain, f"{say} arrivals live on and are saved; write a tuple, s.seen + (new,), in place of a list, a dict or an array.")


def _why_different(ask: Callable[[], State], e: int) -> str:
    """The sentence on a `receive` that answers the same question differently: random numbers, or a memory of its own."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        answers = []
        for _ in range(2):
            random.seed(0)
            np.random.seed(0)
            torch.manual_seed(0)
            answers.append(ask())
    random.setstate(kept[0])
    np.random.set_state(kept[1])
    say = f"receive gave two answers to one question (the same state and arrival, number {e})"
    if same(*answers):
        return f"{say}: it draws random numbers. Draw them from asgd_lib.rng with a key made of s.k, so that a run can be repeated."
    return f"{say}: it remembers something outside its state. Put it into the state, as a field of a NamedTuple of your own."
