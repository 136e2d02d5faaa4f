"""The replayer: checkpoints, counts, batches, and how many gradient calls it makes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from cases import CASES, FIXED, RANDOM, Slope, by_hand, quadratic

from asgd_lib import METHODS, Method, Row, Trace, clusters, replay, replayer, rules, simulate
from asgd_lib.policies import Barrier, Greedy

ASGD = METHODS["asgd"](0.1)
TRACE = simulate(RANDOM, ASGD, arrivals=130, seed=2)


@pytest.mark.parametrize(
    ("every", "arrivals", "expected"),
    [(50, None, [0, 50, 100, 130]), (65, None, [0, 65, 130]), (1000, None, [0, 130]), (40, 90, [0, 40, 80, 90]), (5, 0, [0]),
     (1, 3, [0, 1, 2, 3])],
)  # fmt: skip
def test_checkpoints_are_at_0_every_and_the_end(every, arrivals, expected):
    history = replay(TRACE, ASGD, quadratic(), every=every, arrivals=arrivals, seeds=(0, 1))
    for run in (0, 1):
        rows = history[history["run"] == run]
        assert rows["arrivals"].tolist() == rows["updates"].tolist() == rows["used"].tolist() == expected
        assert rows["time"].tolist() == [0.0 if e == 0 else TRACE.end[e - 1] for e in expected]


def test_the_table():
    problem, methods = quadratic(sigma=1.0), [ASGD, METHODS["fedbuff"](0.2, buffer=3)]
    history = replay(TRACE, methods, problem, seeds=[4, 9], every=60)
    columns = ["run", "method", "lr", "seed", "time", "arrivals", "updates", "used", "rounds", "bytes"]
    assert list(history.columns) == [*columns, "loss", "grad_norm_sq", "gap", "dist_sq", "status"]
    ends = history.groupby("run").last()
    assert ends[["method", "lr", "seed", "status"]].values.tolist() == [
        ["asgd", 0.1, 4, "done"], ["asgd", 0.1, 9, "done"], ["fedbuff(buffer=3)", 0.2, 4, "done"], ["fedbuff(buffer=3)", 0.2, 9, "done"],
    ]  # fmt: skip
    assert ends["updates"].tolist() == ends["rounds"].tolist() == [130, 130, 43, 43] and ends["used"].tolist() == [130] * 4
    # Four models at the start, then a gradient up and a model down for each arrival; 5 numbers of 8 bytes.
    assert history["bytes"].tolist() == [(4 + 2 * e) * 40 for e in history["arrivals"]] and ends["bytes"].tolist() == [264 * 40] * 4
    x = history.attrs["x"]
    assert x.shape == (4, 5) and x.dtype == torch.float64
    for name, value in problem.metrics(x).items():
        assert ends[name].tolist() == value.tolist()
    assert history["run"].is_monotonic_increasing and not history.isna().any().any()


def test_fewer_arrivals_are_the_beginning_of_all():
    problem = quadratic(sigma=1.0)
    whole = replay(TRACE, ASGD, problem, every=20)
    part = replay(TRACE, ASGD, problem, every=20, arrivals=100)
    pd.testing.assert_frame_equal(whole[whole["arrivals"] <= 100].reset_index(drop=True), part, check_exact=True)


def test_used_counts_the_gradients_that_changed_the_state():
    method = METHODS["asgd_delay_adaptive"](0.1, drop=True)
    trace = simulate(clusters.straggler(4, 40.0), method, arrivals=400)
    history = replay(trace, method, quadratic(), every=400)
    steps = by_hand(trace, method, quadratic())
    discarded = sum(step.after is step.before for step in steps)
    assert discarded > 0 and history["used"].iloc[-1] == history["updates"].iloc[-1] == 400 - discarded
    # A gradient that only fills a table is used, though it makes no update.
    method = METHODS["dude"](0.1)
    assert replay(trace, method, quadratic(), every=400)[["updates", "used"]].iloc[-1].tolist() == [400 - len(warm_up(trace)), 400]


def warm_up(trace):
    """Arrivals before the last first one."""
    firsts = [trace.worker.tolist().index(w) for w in range(trace.n)]
    return range(max(firsts))


def test_each_gradient_is_computed_once_in_the_fewest_calls():
    rounds = simulate(FIXED, METHODS["sgd_minibatch"](0.1), arrivals=40)
    problem = Slope()
    replay(rounds, METHODS["sgd_minibatch"](0.1), problem)
    assert [sorted(call) for call in problem.calls] == [list(range(4 * r, 4 * r + 4)) for r in range(10)]
    problem = Slope()
    replay(TRACE, ASGD, problem)
    assert sorted(sum(problem.calls, [])) == sorted(TRACE.job.tolist())
    # The longest chain of reads: a job must wait for the call that computes the newest gradient in the model it reads.
    depth = np.zeros(131, int)
    newest = np.zeros(131, int)  # deepest gradient among the first e arrivals
    for e in range(130):
        depth[e] = newest[TRACE.read[e]] + 1
        newest[e + 1] = max(newest[e], depth[e])
    assert len(problem.calls) == newest[-1] < 130


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_jobs_per_call_bounds_every_call(jobs):
    problem = Slope()
    replay(TRACE, ASGD, problem, jobs_per_call=jobs)
    assert max(map(len, problem.calls)) == jobs
    assert sorted(sum(problem.calls, [])) == sorted(TRACE.job.tolist())


def test_a_shortened_replay_computes_only_what_it_uses():
    problem = Slope()
    replay(TRACE, ASGD, problem, arrivals=37)
    assert sorted(sum(problem.calls, [])) == sorted(TRACE.job[:37].tolist())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"problem": quadratic(3)}, "The trace has 4 workers and the problem 3; split the data over as many workers as the cluster has"),
        ({"method": []}, "at least one method and one seed"),
        ({"seeds": []}, "at least one method and one seed"),
        ({"seeds": [0.5]}, "every seed must be a whole number of at least 0"),
        ({"seeds": [-1]}, "every seed must be a whole number of at least 0"),
        ({"seeds": [2**63]}, "every seed must be a whole number of at least 0 and at most 9223372036854775807"),
        ({"every": 0}, "every must be a whole number of at least 1; got 0"),
        ({"every": 1.5}, "every must be a whole number"),
        ({"arrivals": 131}, "arrivals must be a whole number of at least 0 and at most 130; got 131"),
        ({"arrivals": -1}, "arrivals must be a whole number"),
        ({"jobs_per_call": 0}, "jobs_per_call must be a whole number of at least 1; got 0"),
        ({"jobs_per_call": 2.0}, "jobs_per_call must be a whole number"),
        ({"timeout": 0.0}, "timeout must be a finite number above 0"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"method": METHODS["dude"](0.1, n_arrivals=5)}, "n_arrivals must be a whole number of at least 1 and at most 4; got 5"),
    ],
)
def test_senseless_arguments_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        replay(**{"trace": TRACE, "method": ASGD, "problem": quadratic()} | change)


def test_an_empty_trace_gives_the_start():
    empty = Trace(4, [], [], [], [], [])
    history = replay(empty, ASGD, quadratic(), every=10)
    assert history["arrivals"].tolist() == [0] and torch.equal(history.attrs["x"][0], quadratic().x0)


def test_a_models_own_precision_is_kept_and_step_sizes_lose_no_bit():
    for dtype in (torch.float32, torch.float64):
        history = replay(TRACE, METHODS["asgd"](0.1), Slope(x0=0.0, dtype=dtype), arrivals=3)
        x = torch.zeros(1, dtype=dtype)
        for _ in range(3):
            x = x - 0.1 * -torch.ones(1, dtype=dtype)
        assert history.attrs["x"].dtype == dtype and torch.equal(history.attrs["x"][0], x)


@dataclass(frozen=True)
class HeavyBall:
    """A rule with a second number that may differ between runs of one batch."""

    lr: float
    momentum: float = 0.9
    batched: ClassVar = ("lr", "momentum")

    def init(self, x0, n):
        return HeavyState(x0, 0, n, torch.zeros_like(x0))

    def receive(self, s, a):
        u = self.momentum * s.u + self.lr * a.grad
        return HeavyState(s.x - u, s.k + 1, s.n, u)


class HeavyState(rules.State):
    def __new__(cls, x, k, n, u):
        self = super().__new__(cls, x, k, n)
        self.u = u
        return self


def test_a_rule_says_what_else_may_differ_within_a_batch(monkeypatch):
    row = Row(Greedy(), HeavyBall, "ours", "heavy")
    methods = [row(0.05, momentum=m) for m in (0.0, 0.5, 0.9)]
    problem, calls = quadratic(sigma=1.0), []
    grad = problem.grad
    problem.grad = lambda *a: calls.append(0) or grad(*a)
    table = replay(TRACE, methods, problem, every=130)
    together = len(calls)
    alone = [replay(TRACE, m, problem, every=130).attrs["x"][0] for m in methods]
    assert len(calls) == 4 * together  # one batch
    assert all(torch.equal(table.attrs["x"][i], x) for i, x in enumerate(alone))
    assert torch.equal(alone[0], replay(TRACE, METHODS["asgd"](0.05), problem).attrs["x"][0])


def test_other_hyperparameters_make_batches_of_their_own():
    cases = [case for case in CASES.values() if case[0] != "daso" and case[1].get("n_arrivals", 1) < 3]  # daso needs a trace of its own
    methods = [METHODS[name](0.1, **hyper) for name, hyper in cases]
    table = replay(TRACE, methods, quadratic(sigma=1.0), every=130)
    for run, method in enumerate(methods):
        assert torch.equal(table.attrs["x"][run], replay(TRACE, method, quadratic(sigma=1.0), every=130).attrs["x"][0])


def test_any_policys_trace_serves_any_rule():
    barrier = simulate(RANDOM, Method(Barrier(), rules.SGD(0.1)), arrivals=40)
    steps = by_hand(barrier, ASGD, quadratic(sigma=1.0))
    assert torch.equal(replay(barrier, ASGD, quadratic(sigma=1.0)).attrs["x"][0], steps[-1].after.x)


def test_nothing_outside_is_touched():
    problem, method = quadratic(sigma=1.0), METHODS["dude"](0.1)
    kept = [t.clone() for t in (problem.A, problem.b, problem.x0)]
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    replay(TRACE, method, problem, seeds=range(3))
    assert torch.equal(torch.get_rng_state(), state) and np.array_equal(np.random.get_state()[1], numpy_state)
    assert all(torch.equal(a, b) for a, b in zip(kept, (problem.A, problem.b, problem.x0), strict=True))
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    assert method.rule == METHODS["dude"](0.1).rule


def test_one_thread_and_two_give_the_same_bits():
    problem, threads, x = quadratic(d=96, dense=True, sigma=1.0), torch.get_num_threads(), []
    rounds = simulate(FIXED, METHODS["sgd_minibatch"](0.1), arrivals=40)  # 73,728 numbers a call: shared out
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            x.append(replay(rounds, METHODS["sgd_minibatch"](0.1), problem, seeds=(0, 1)).attrs["x"])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*x)


def test_progress_adds_up_to_one():
    for arrivals, methods in ((600, [ASGD]), (130, [ASGD, METHODS["fedbuff"](0.1)]), (0, [ASGD])):
        trace, shares = simulate(RANDOM, ASGD, arrivals=max(arrivals, 1)), []
        replay(trace, methods, quadratic(), every=1000, arrivals=arrivals, progress=shares.append)
        assert sum(shares) == pytest.approx(1.0, abs=1e-12) and min(shares) >= 0
    assert len(shares) == 1


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 64])
def test_a_call_is_bounded_and_gives_every_thread_the_same_number_of_jobs(threads):
    for job_bytes in (1, 10_000, 914_000, 50 << 20, 1 << 30):
        jobs = replayer._jobs(job_bytes, threads)
        assert jobs == 1 or jobs * job_bytes <= max(12, 8 * threads) << 20
        assert jobs < threads or jobs % threads == 0
    assert replayer._jobs(914_000, 1) == 13


def test_methods_whose_numbers_only_print_alike_are_not_one_batch():
    """repr(torch.tensor([1.00001])) is tensor([1.0000])."""
    trace, problem = simulate(RANDOM, METHODS["asgd"](0.1), arrivals=60), quadratic()
    methods = [METHODS["asgd_rescaled"](0.1, times=torch.tensor([1.0, 1.0, 2.0, last])) for last in (3.00001, 3.00004)]
    together = replay(trace, methods, problem, every=60).attrs["x"]
    alone = [replay(trace, method, problem, every=60).attrs["x"] for method in methods]
    assert repr(methods[0].rule.times) == repr(methods[1].rule.times) and not torch.equal(*alone)
    assert torch.equal(together, torch.cat(alone))
