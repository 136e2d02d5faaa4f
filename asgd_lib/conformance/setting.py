"""What methods are examined on: four workers of uneven speed, a small quadratic, and a replay without machinery."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from asgd_lib import clusters
from asgd_lib.methods import Method
from asgd_lib.problems import Problem, Quadratic
from asgd_lib.rules import Arrival, State, update_delays
from asgd_lib.rules.form import ARRIVALS, hand_delay
from asgd_lib.simulator import simulate
from asgd_lib.trace import Trace

TIMES = (1.0, 1.5, 2.0, 4.5)  # s; four workers, and no two gradients of different workers end together too often
FIXED = clusters.Fixed(TIMES)
RANDOM = clusters.Exponential(TIMES)
SLOWER = 50
LATE = clusters.Fixed((1.0, 1.5, 2.0, float(SLOWER)))  # s; the last delivers once in a hundred arrivals


def quadratic(n: int = 4, d: int = 5, *, dense: bool = False, sigma: float = 0.0, homogeneous: bool = False) -> Quadratic:
    """A quadratic with eigenvalues between 0.5 and 1, and a start away from every minimiser."""
    draw = torch.Generator().manual_seed(0)
    A = 0.5 + 0.5 * torch.rand(n, d, generator=draw, dtype=torch.float64)
    b = torch.randn(n, d, generator=draw, dtype=torch.float64)
    if homogeneous:
        A, b = A[:1].repeat(n, 1), b[:1].repeat(n, 1)
    if dense:
        turn = torch.linalg.qr(torch.randn(d, d, generator=draw, dtype=torch.float64)).Q
        A = turn @ torch.diag_embed(A) @ turn.mT
        A = (A + A.mT) / 2
    return Quadratic(A, b, sigma=sigma, x0=torch.randn(d, generator=draw, dtype=torch.float64))


def random_trace(method: Method, arrivals: int = 50) -> Trace:
    """A trace of the method on four workers with random times."""
    return simulate(RANDOM, method, arrivals=arrivals, seed=3)


def traces(method: Method) -> list[Trace]:
    """The random trace, and one on which the gradients of a worker SLOWER times as slow as another come late."""
    return [random_trace(method), simulate(LATE, method, arrivals=150)]


def hand_made(method: Method) -> list[int]:
    """Workers for ARRIVALS arrivals with delays made by hand (`hand_delay`), in an order in which the method's policy starts them."""
    return random_trace(method, ARRIVALS).worker.tolist()


def delays_met(method: Method) -> tuple[int, int]:
    """The largest delay among arrivals made by hand, and the largest on `traces`."""
    state, largest = method.rule.init(torch.empty(0), 4), 0
    for e, worker in enumerate(hand_made(method)):
        delay = hand_delay(e, state.k)
        state, largest = method.rule.receive(state, Arrival(torch.empty(0), worker, delay, 1.0)), max(largest, delay)
    return largest, max(int(update_delays(trace, method.rule).max()) for trace in traces(method))


def named_tensors(value: Any, name: str = "s") -> list[tuple[str, Tensor]]:
    """All tensors inside nested tuples, with what each is called: `s.table[2]`."""
    if isinstance(value, Tensor):
        return [(name, value)]
    if not isinstance(value, tuple):
        return []
    fields = getattr(value, "_fields", None)
    names = [f"{name}.{field}" for field in fields] if fields else [f"{name}[{i}]" for i in range(len(value))]
    return [found for part, inner in zip(value, names, strict=True) for found in named_tensors(part, inner)]


def equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers; nan equals nan, or a run that diverged would not be itself."""
    if torch.equal(one, other):
        return True
    odd = one.isnan()
    return one.shape == other.shape and torch.equal(odd, other.isnan()) and torch.equal(one[~odd], other[~odd])


class Step(NamedTuple):
    """One arrival of a replay by hand."""

    before: State
    arrival: Arrival
    after: State


def by_hand(trace: Trace, method: Method, problem: Problem, seed: int = 0) -> list[Step]:
    """One run of `replay` without batches, caches or runs: every gradient alone, at the model that was read, x of shape (d,)."""
    rule = method.rule
    state = rule.init(problem.x0, trace.n)
    states, steps = [state], []
    for e, (job, worker, read) in enumerate(zip(trace.job, trace.worker, trace.read, strict=True)):
        at = torch.tensor([int(worker)]), torch.tensor([int(job)]), torch.tensor([seed])
        model = rule.read(states[read], int(worker)) if hasattr(rule, "read") else states[read].x
        grad = problem.grad(model[None, None], *at)[0, 0]
        arrival = Arrival(grad, int(worker), state.k - states[read].k, float(trace.end[e] - trace.start[e]))
        steps.append(Step(state, arrival, rule.receive(state, arrival)))
        state = steps[-1].after
        states.append(state)
    return steps
