"""What else a method owes: its name and source, copies that behave alike, a model that comes nearer, and the same run on real processes."""

from __future__ import annotations

import copy
import math
import pickle

import torch

from asgd_lib.conformance.failure import Make, Nonconforming, demand
from asgd_lib.conformance.setting import FIXED, by_hand, equal, quadratic, random_trace, traces
from asgd_lib.distributed.run import serve
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.replayer import replay
from asgd_lib.rules.form import check_first_steps, check_form
from asgd_lib.simulator import simulate
from asgd_lib.trace import Trace

_STEPS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_LARGE = 1e6  # times and more beyond start and minimiser, which are about 1: a model out there is climbing


def form(make: Make) -> None:
    """The rule is a frozen dataclass with `lr`, `init` and `receive`, takes its first steps, and has a docstring and a source."""
    method = make(0.1)
    kind = type(method.rule)
    try:
        check_form(kind)
        check_first_steps(method.rule)
    except ValueError as error:
        raise Nonconforming(str(error)) from error
    written = kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}(")  # what dataclasses write themselves
    demand(written, f'{kind.__name__} has no docstring: say in a sentence what it does, """x <- x - lr g. Source: ...""".')
    demand(
        method.source,
        f"{method.name} does not say where it comes from: end its docstring with `Source: authors, year.`, or give its Row a source.",
    )


def copies(make: Make) -> None:
    """Method and state survive pickle and deepcopy, and go on to the same bits."""
    method, problem = make(0.1), quadratic()
    pickled, copied = pickle.loads(pickle.dumps(method)), copy.deepcopy(method)
    demand(pickled == method == copied, "A pickled or copied method does not equal the original: fields must be plain values.")
    steps = by_hand(random_trace(method, 40), method, problem)
    state = steps[20].before
    for other in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        demand(type(other) is type(state), "A copy of a state has another type: the state must be a NamedTuple of its module.")
        for step in steps[20:]:
            other = pickled.rule.receive(other, step.arrival)
        say = "A run that goes on from a copy of its state ends elsewhere: something is remembered outside the state, or told by identity."
        demand(equal(other.x, steps[-1].after.x) and other.k == steps[-1].after.k, say)


def descends(make: Make) -> None:
    """With some step size between 0.003 and 1, 400 arrivals without noise bring the model much nearer to the minimiser of equal data."""
    methods, problem = [make(lr) for lr in _STEPS], quadratic(homogeneous=True)
    trace = simulate(FIXED, methods[0], arrivals=400)
    for met in (trace, *traces(methods[0])):
        _stays_finite(met, methods[0], problem)
    ends = replay(trace, methods, problem, every=400).groupby("lr")["dist_sq"].agg(["first", "last"])
    share = float((ends["last"] / ends["first"]).min())
    say = f"At none of the step sizes {', '.join(f'{lr:g}' for lr in _STEPS)} do 400 noise-free gradients lead to the minimiser"
    demand(
        math.isfinite(share) and share < 0.1, f"{say} (the best leaves {share:.0%} of the squared distance): look at the sign of the step."
    )


def _stays_finite(trace: Trace, method: Method, problem: Problem) -> None:
    """Nonconforming where one arrival makes inf or nan of a model no larger than _LARGE: one that climbs grows first, and is left alone."""
    for e, step in enumerate(by_hand(trace, method, problem)):
        x = step.after.x
        if x.isfinite().all():
            continue
        what = "nan" if x.isnan().any() else "inf"
        say = f"At arrival {e} the model became {what} (step size {method.lr:g}): a division by zero, or the root of a negative number?"
        remedy = "Often the first arrivals do it, where no delay, gap or mean has been seen yet: add a small number to the denominator"
        demand(step.before.x.abs().max() > _LARGE, f"{say} {remedy}, y / (z + 1e-8).")
        return


def real_processes(make: Make) -> None:
    """Four worker processes and a server compute what the replay of their trace computes, to the last bit."""
    same_as_replayed(make(0.05), quadratic(sigma=0.3), arrivals=40, seed=3)


def same_as_replayed(method: Method, problem: Problem, arrivals: int, seed: int) -> None:
    """Raise Nonconforming unless a real run ends with the bits and the used arrivals of the replay of its trace."""
    served = serve(problem, method, arrivals=arrivals, seed=seed, timeout=20.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers compute
    try:
        history = replay(served.trace, method, problem, seeds=[seed], every=arrivals + 1, jobs_per_call=1)
    finally:
        torch.set_num_threads(threads)
    say = "A real run does not replay to the server's model: receive must depend on state and arrival alone."
    demand(equal(served.x, history.attrs["x"][0]) and served.used == history["used"].iloc[-1], say)
