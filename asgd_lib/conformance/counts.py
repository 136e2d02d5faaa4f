"""Updates, used arrivals and delays do not depend on the numbers in a gradient, nor on how many runs and coordinates there are."""

from __future__ import annotations

import torch

from asgd_lib.conformance.failure import Make, demand
from asgd_lib.conformance.setting import by_hand, equal, hand_made, quadratic, random_trace
from asgd_lib.replayer import replay
from asgd_lib.rules import Arrival, Counter, over_runs, update_delays
from asgd_lib.rules.form import hand_delay

_WHERE = "runs of a batch share their counters: where runs differ, count the update for all and give the others a step of 0, by torch.where"


def shapes(make: Make) -> None:
    """Models of shape (R, d), (d,), (0,) and (R, 0) keep their shapes and count alike, one update at most an arrival."""
    method = make(0.1)
    trace = random_trace(method, 60)
    start = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    models = [start, start[1], torch.empty(0), torch.empty(3, 0)]
    states = [method.rule.init(x, 4) for x in models]
    demand([s.k for s in states] == [0] * 4, "init must begin with k = 0, whatever the shape of x0.")
    for e in range(len(trace)):
        grads = [torch.sin(e + x) for x in models]
        before = [s.k for s in states]
        states = [method.rule.receive(s, Arrival(g, int(trace.worker[e]), e % 9, 0.5 + e % 3)) for s, g in zip(states, grads, strict=True)]
        for s, x in zip(states, models, strict=True):
            demand(s.x.shape == x.shape, f"At arrival {e} a model of shape {tuple(x.shape)} became one of {tuple(s.x.shape)}.")
        told = ", ".join(f"{s.k} for {tuple(x.shape)}" for s, x in zip(states, models, strict=True))
        demand(len({s.k for s in states}) == 1, f"At arrival {e} k depends on the shape of the model ({told}): {_WHERE}.")
        say = f"At arrival {e} k went from {before[0]} to {states[0].k}: an arrival makes one update (s.k + 1) or none (s.k)."
        demand(states[0].k - before[0] in (0, 1), say)
        demand(all(s.n == 4 for s in states), f"At arrival {e} n became {states[0].n}: hand on s.n, the number of workers, as it is.")
        say = f"At arrival {e} the second of three runs is not the run alone: take norms and sums with dim=-1, keepdim=True."
        demand(equal(states[0].x[1], states[1].x), say)
    moved = not equal(states[0].x, start)
    demand(states[0].k > 0 or not moved, "After 60 arrivals the model has moved and k is still 0: count the updates, s.k + 1.")


def without_coordinates(make: Make) -> None:
    """The rule on a model without coordinates counts the updates, used arrivals and delays of the rule on a real one."""
    method, problem = make(0.1), quadratic()
    trace = random_trace(method)
    history = replay(trace, method, problem, every=1)
    demand(len(history) == 51 or history["status"].iloc[-1] == "diverged", "A replay of 50 arrivals has not 51 rows.")
    counter, used = Counter(method.rule, 4), [0]
    delays = []
    for row in zip(trace.worker.tolist(), trace.read.tolist(), (trace.end - trace.start).tolist(), strict=True):
        before = counter.state
        delays.append(counter.receive(*row))
        used.append(used[-1] + (counter.state is not before))
    for name, counted in (("updates", counter.updates), ("used", used)):
        real = history[name].tolist()
        paired = zip(real, counted, strict=False)  # a run that diverges has no rows after that
        first = next((e for e, pair in enumerate(paired) if pair[0] != pair[1]), None)
        say = f"After {first} arrivals {name} are {real[first or 0]} on a real model and {counted[first or 0]} on one without coordinates"
        demand(first is None, f"{say}: whether an arrival counts must not depend on the numbers in a gradient, because {_WHERE}.")
    say = "Delays counted without coordinates are not those of a replay by hand: count k the same way on every model."
    demand(update_delays(trace, method.rule).tolist() == delays == [step.arrival.delay for step in by_hand(trace, method, problem)], say)


def precision(make: Make) -> None:
    """A model in float32 stays in float32, and one in float64 in float64."""
    for dtype in (torch.float32, torch.float64):
        x0 = torch.linspace(-1.0, 1.0, 8, dtype=dtype).view(2, 4)
        rule = over_runs(make(0.1).rule, like=x0, lr=[0.05, 0.1])
        state = rule.init(x0, 4)
        for e, worker in enumerate(hand_made(make(0.1))):
            state = rule.receive(state, Arrival(torch.cos(e + state.x), worker, hand_delay(e, state.k), 1.0))
            say = f"At arrival {e} a model in {dtype} became one in {state.x.dtype}: make new tensors with torch.zeros_like(x0)."
            demand(state.x.dtype == dtype, say)
