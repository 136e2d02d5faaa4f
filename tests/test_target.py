"""Runs that may stop where they have arrived, and batches that grow smaller while they are under way."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from cases import RANDOM, every_method, quadratic
from problem_cases import build
from torch import Tensor

from asgd_lib import METHODS, Method, Target, clusters, replay, simulate
from asgd_lib.batch import Batch
from asgd_lib.history import time_to
from asgd_lib.policies import Greedy
from asgd_lib.sweep import sweep, variants
from asgd_lib.target import Watch

LRS = (4.0, 0.001, 0.05, 8.0, 0.1, 0.2)
EVERY = 7


def rows_of(history, run):
    return history[history["run"] == run].drop(columns=["run", "status"]).reset_index(drop=True)


def arrival(rows, target):
    """The first checkpoint, by number, that ends `hold` seconds at the target."""
    since = math.inf
    for i, (time, value) in enumerate(zip(rows["time"], rows[target.metric], strict=True)):
        since = min(since, time) if value <= target.value else math.inf
        if time >= since + target.hold:
            return i
    return None


@every_method
def test_rows_until_the_target_are_those_without_and_none_come_after(name, hyper):
    problem = quadratic(sigma=0.5)
    methods = [METHODS[name](lr, **hyper) for lr in LRS]
    trace = simulate(RANDOM, methods[0], arrivals=200, seed=1)
    start = float(problem.metrics(problem.x0[None])["gap"])
    whole = replay(trace, methods, problem, seeds=(0, 1, 2), every=EVERY)
    target = Target("gap", 0.3 * start, hold=2.0)
    some = replay(trace, methods, problem, seeds=(0, 1, 2), every=EVERY, target=target)
    for run in range(len(LRS) * 3):
        mine, all_of_it = rows_of(some, run), rows_of(whole, run)
        pd.testing.assert_frame_equal(mine, all_of_it.iloc[: len(mine)], check_exact=True)
        status = some[some["run"] == run]["status"].iloc[0]
        at = arrival(all_of_it, target)
        if status == "reached":
            assert len(mine) == at + 1
            assert float(problem.metrics(some.attrs["x"][run][None])["gap"]) == mine["gap"].iloc[-1]
        else:
            assert at is None and len(mine) == len(all_of_it) and status == whole[whole["run"] == run]["status"].iloc[0]
    told = [time_to(history, target.value, "gap")["value"].to_numpy() for history in (whole, some)]
    there = np.isfinite(told[1])
    assert (told[0][there] == told[1][there]).all()


def test_a_batch_computes_no_longer_who_has_ended():
    problem = quadratic()
    sizes, grad_at = [], problem.grad_at
    problem.grad_at = lambda x, *rest: sizes.append(x.shape[1]) or grad_at(x, *rest)
    methods = [METHODS["asgd"](lr) for lr in (8.0, 9.0, 0.1, 1e-5)]
    trace = simulate(RANDOM, methods[0], arrivals=2000, seed=1)
    replay(trace, methods, problem, seeds=(0, 1, 2), every=50)
    assert sizes[0] == 4 and set(sizes) == {4, 2} and sizes.count(2) > 2 * sizes.count(4)
    sizes.clear()
    target = Target("gap", 0.1 * float(problem.metrics(problem.x0[None])["gap"]))
    history = replay(trace, methods, problem, seeds=(0, 1, 2), every=50, target=target)
    assert sizes[0] == 4 and sizes[-1] == 1
    assert history.groupby("run")["status"].first().tolist()[::3] == ["diverged", "diverged", "reached", "done"]


class Kept(NamedTuple):
    x: Tensor
    k: int
    n: int
    last: object


@dataclass(frozen=True)
class Keeps:
    """SGD whose state holds something more."""

    lr: float
    what: str = "tensor (1, d)"

    def init(self, x0, n):
        kept = {"tensor (1, d)": x0[:1], "tensor (R,)": x0[:, 0], "tensor (n, R, d)": x0.expand(n, *x0.shape)}
        return Kept(x0, 0, n, (kept | {"dict": {"x": x0}, "list": [x0]})[self.what])

    def receive(self, s, a):
        kept = {"tensor (n, R, d)": lambda: s.last[0], "tensor (R,)": lambda: s.last[:, None], "dict": lambda: s.last["x"]}
        kept = (kept | {"list": lambda: s.last[0], "tensor (1, d)": lambda: s.last})[self.what]()
        return s._replace(x=s.x - self.lr * a.grad + 0 * kept, k=s.k + 1)  # a cut batch and a whole state would not fit


@pytest.mark.parametrize("what", ["tensor (1, d)", "dict", "list", "tensor (n, R, d)", "tensor (R,)"])
def test_a_state_that_cannot_be_cut_goes_on_whole(what):
    methods = [Method(Greedy(), Keeps(lr, what)) for lr in LRS]
    plain = [METHODS["asgd"](lr) for lr in LRS]
    trace = simulate(RANDOM, plain[0], arrivals=300, seed=1)
    one, other = (replay(trace, some, quadratic(sigma=0.5), every=20) for some in (methods, plain))
    pd.testing.assert_frame_equal(one.drop(columns="method"), other.drop(columns="method"), check_exact=True)
    assert (one["status"] == "diverged").any()


def test_who_has_arrived_is_computed_no_longer(monkeypatch):
    """Nobody diverges here: these runs leave because they are there."""
    left, narrow = [], Batch.narrow
    monkeypatch.setattr(Batch, "narrow", lambda batch, e, kept: left.append(len(kept)) or narrow(batch, e, kept))
    problem = quadratic(sigma=0.5)
    methods = [METHODS["asgd"](lr) for lr in (0.001, 0.05, 0.1)]
    start = float(problem.metrics(problem.x0[None])["gap"])
    trace = simulate(RANDOM, methods[0], arrivals=200, seed=1)
    history = replay(trace, methods, problem, seeds=(0, 1), every=EVERY, target=Target("gap", 0.3 * start))
    assert set(history["status"]) == {"reached", "done"} and left and left[-1] == 2


def test_as_many_runs_as_workers_are_not_cut():
    methods = [METHODS["asgd"](lr) for lr in (8.0, 9.0, 0.1, 0.01)]  # RANDOM has four workers
    trace = simulate(RANDOM, methods[0], arrivals=300, seed=1)
    assert trace.n == 4
    sizes, problem = [], quadratic()
    grad_at = problem.grad_at
    problem.grad_at = lambda x, *rest: sizes.append(x.shape[1]) or grad_at(x, *rest)
    replay(trace, methods, problem, every=20)
    assert set(sizes) == {4}


def test_sweep_passes_it_on_and_remembers_it(tmp_path):
    problem, methods = quadratic(sigma=0.5), variants("asgd", lr=[0.05, 0.1])
    value = 0.3 * float(problem.metrics(problem.x0[None])["gap"])
    options = {"arrivals": 200, "seeds": (0, 1), "every": EVERY, "cache": tmp_path}
    whole = sweep(methods, RANDOM, problem, **options)
    some = sweep(methods, RANDOM, problem, **options, target=Target("gap", value))
    again = sweep(methods, RANDOM, problem, **options, target=Target("gap", value))
    assert len(some) < len(whole) and (some["status"] == "reached").all() and (whole["status"] == "done").all()
    pd.testing.assert_frame_equal(some, again)
    assert time_to(some, value, "gap")["value"].tolist() == time_to(whole, value, "gap")["value"].tolist()


def test_a_target_may_rise_and_is_known_by_one_of_the_metrics():
    problem = build("Softmax")
    trace = simulate(clusters.spread(problem.n, 3.0), METHODS["asgd"](0.1), arrivals=120)
    whole = replay(trace, METHODS["asgd"](0.1), problem, every=10)
    best = whole["accuracy"].max()
    some = replay(trace, METHODS["asgd"](0.1), problem, every=10, target=Target("accuracy", best, rising=True))
    assert some["status"].unique().tolist() == ["reached"] and len(some) == whole["accuracy"].argmax() + 1 < len(whole)
    with pytest.raises(ValueError, match="the target's metric must be one of .*'accuracy'"):
        replay(trace, METHODS["asgd"](0.1), problem, target=Target("gap", 1.0))


@pytest.mark.parametrize("wrong", [{"value": math.nan}, {"value": math.inf}, {"hold": -1.0}, {"hold": math.inf}])
def test_a_target_is_a_number(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Target(**({"metric": "loss", "value": 1.0} | wrong))


def test_who_leaves_the_target_has_to_hold_it_anew():
    watch, seen = Watch(Target("loss", 1.0, hold=2.0), 2), []
    for time, loss in enumerate([[0.5, 2.0], [0.5, 1.0], [1.5, 0.5], [0.5, 0.5], [1.0, math.nan], [1.0, 0.0]]):
        seen.append(watch.arrived(float(time), {"loss": np.array(loss)}).tolist())
    assert seen == [[False, False]] * 3 + [[False, True], [False, False], [True, False]]
