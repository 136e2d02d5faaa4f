"""The same numbers to the last bit: in a second run, in any batch of gradients, beside other runs, and computed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from asgd_lib.conformance.failure import Make, demand
from asgd_lib.conformance.setting import RANDOM, by_hand, equal, quadratic, random_trace, traces
from asgd_lib.methods import Method
from asgd_lib.replayer import replay
from asgd_lib.simulator import simulate
from asgd_lib.trace import Trace

_ALONE = "each run must be alone in its row of x (runs, d): sum, take norms and means with dim=-1, keepdim=True, never over all of x"

_ROUNDED = "that is rounding to float32, where a tensor is made without dtype=s.x.dtype, as torch.tensor(self.lr) is in a run by hand"

_KEPT = "a.grad is a view into a block of gradients, so clone what is kept, and look at nothing beside it"


def repeats(make: Make) -> None:
    """A trace and a replay come out the same a second time, to the last bit."""
    method, problem = make(0.1), quadratic(sigma=1.0)
    trace = random_trace(method)
    first, again = (replay(trace, made, problem, seeds=(0, 5), every=17) for made in (method, make(0.1)))
    say = "A second replay of the same trace gave other numbers: the rule remembers something outside its state, or draws random numbers."
    demand(_equal(first, again), say)
    say = "A second simulation gave another trace: policies must not draw random numbers nor remember anything."
    demand(simulate(RANDOM, make(0.1), arrivals=50, seed=3) == trace, say)


def batches(make: Make) -> None:
    """Gradients computed many at a time give the models that gradients computed one at a time give, to the last bit."""
    for dense in (False, True):
        method, problem = make(0.1), quadratic(d=7, dense=dense, sigma=1.0)
        for trace in traces(method):
            whole = replay(trace, method, problem, seeds=(0, 1, 2), every=50)
            for jobs in (1, 3):
                one = replay(trace, method, problem, seeds=(0, 1, 2), every=50, jobs_per_call=jobs)
                demand(_equal(whole, one), f"With {jobs} gradients a call other models come out than with many: {_KEPT}.")


def runs_alone(make: Make) -> None:
    """Step sizes, further batched numbers and seeds replayed together are the runs alone, and those computed by hand on one model (d,)."""
    methods = list(_variants(make))
    for trace in traces(methods[0]):
        _alone(methods, trace)


def _alone(methods: list[Method], trace: Trace) -> None:
    seeds, problem = (0, 7), quadratic(sigma=1.0, dense=True)
    table = replay(trace, methods, problem, seeds=seeds, every=50)
    ends = table.attrs["x"]
    runs = [(method, seed) for method in methods for seed in seeds]
    say = "Step sizes 0.02 and 0.3 lead to the same model, so receive does not use self.lr: multiply the step by it."
    unlike = (ends[0] != ends[2]).any()  # nan is unlike nan: runs that diverged say nothing about lr
    demand(unlike or equal(ends[0], problem.x0), say)
    for run, (method, seed) in enumerate(runs):
        alone = replay(trace, method, problem, seeds=[seed], every=50)
        hand = by_hand(trace, method, problem, seed)[-1].after.x
        rows = table[table["run"] == run].assign(run=0).reset_index(drop=True)
        which = f"lr = {float(method.lr):g} and seed {seed}"
        apart = float((ends[run] - alone.attrs["x"][0]).abs().max())
        told = f"The run with {which} beside three others is not the run alone (they differ by {apart:.2g}): {_ALONE}."
        demand(_same_rows(rows, alone) and equal(ends[run], alone.attrs["x"][0]), told)
        if alone["status"].iloc[-1] == "diverged":
            continue  # a replay stops there, a run by hand does not
        off = float((hand - alone.attrs["x"][0]).abs().max() / alone.attrs["x"][0].abs().max())
        remedy = _ROUNDED if off < 1e-5 else "count axes from the end, dim=-1"  # beyond rounding in float32 it is something else
        told = f"The run with {which} is not the one computed by hand on a model of shape (d,), by {off:.2g} of its size: {remedy}."
        demand(equal(hand, alone.attrs["x"][0]), told)


def _variants(make: Make) -> Iterator[Method]:
    """The method with two step sizes, and with another value of each further number that it says may differ within a batch."""
    methods = [make(lr) for lr in (0.02, 0.3)]
    yield from methods
    for name in getattr(type(methods[0].rule), "batched", ("lr",)):
        if name != "lr":
            yield replace(methods[1], rule=replace(methods[1].rule, **{name: 0.5 * getattr(methods[1].rule, name)}))


def _same_rows(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    try:
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    except AssertionError:
        return False
    return True


def _equal(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return _same_rows(one, other) and equal(one.attrs["x"], other.attrs["x"])
