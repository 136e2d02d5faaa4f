"""Equal methods give equal bits; and what the papers prove about any trace holds on ours."""

import math

import numpy as np
import pytest
import torch
from cases import FIXED, RANDOM, by_hand, quadratic

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.policies import Barrier
from asgd_lib.rules import update_delays

LR = 0.07


def outcome(cluster, name, arrivals=80, **hyper):
    """Trace, final model and updates of one noisy run."""
    method = METHODS[name](LR, **hyper)
    trace = simulate(cluster, method, arrivals=arrivals, seed=1)
    history = replay(trace, method, quadratic(cluster.n, sigma=1.0), every=arrivals, seeds=[6])
    return trace, history.attrs["x"], history["updates"].iloc[-1]


def assert_same(cluster, one, other, arrivals=80):
    traces, models, updates = zip(*(outcome(cluster, m[0], arrivals, **m[1]) for m in (one, other)), strict=True)
    assert traces[0] == traces[1]
    assert torch.equal(*models)
    assert updates[0] == updates[1] > 0


MINIBATCH, ASGD = ("sgd_minibatch", {}), ("asgd", {})


@pytest.mark.parametrize("cluster", [FIXED, RANDOM, clusters.equal(5)], ids=["fixed", "random", "equal"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("fedbuff", {"buffer": 1}), ASGD),
        (("mifa", {"participation": 1.0}), MINIBATCH),
        (("ormo", {"momentum": 0.0}), ASGD),
        (("ormo", {"momentum": 0.0, "plain_step": True}), ASGD),
        (("asgd_naive_momentum", {"momentum": 0.0}), ASGD),
        (("shifted_momentum", {"momentum": 0.0}), ASGD),
        (("smega2", {"momentum": 0.0}), ASGD),
        (("rennala", {"batch": 1}), ("ringmaster", {"threshold": 1})),
        (("ringmaster", {"threshold": math.inf}), ASGD),
        (("ringmaster", {"threshold": math.inf, "stop": True}), ASGD),
        (("delay_filter", {"batch": 3, "momentum": 0.0}), ("rennala", {"batch": 3})),
        (("k_async", {"k": 1}), ASGD),
        (("mindflayer", {}), MINIBATCH),
        (("vecna", {}), MINIBATCH),
        (("naive_optimal", {}), ASGD),
        (("asgd_staleness_aware", {"power": 0.0}), ASGD),
        (("asgd_clipped", {"radius": 1e9}), ASGD),
        (("picky", {"radius": 1e9}), ASGD),
    ],
    ids=[
        "fedbuff(1) = asgd",
        "mifa(1) = minibatch",
        "ormo(0) = asgd",
        "ormo(0, plain) = asgd",
        "naive(0) = asgd",
        "shifted(0) = asgd",
        "smega2(0) = asgd",
        "rennala(1) = ringmaster(1)",
        "ringmaster(inf) = asgd",
        "ringmaster(inf, stop) = asgd",
        "delay_filter(3, 0) = rennala(3)",
        "k_async(1) = asgd",
        "mindflayer() = minibatch",
        "vecna() = minibatch",
        "naive_optimal() = asgd",
        "staleness_aware(0) = asgd",
        "clipped(inf) = asgd",
        "picky(inf) = asgd",
    ],  # fmt: skip
)
def test_limits_of_one_method_are_another(cluster, one, other):
    assert_same(cluster, one, other)


@pytest.mark.parametrize("cluster", [FIXED, RANDOM, clusters.equal(4)], ids=["fixed", "random", "equal"])
@pytest.mark.parametrize("warm_up", ["continue", "broadcast"])
def test_dude_that_waits_for_everybody_is_minibatch_sgd(cluster, warm_up):
    assert_same(cluster, ("dude", {"n_arrivals": 4, "warm_up": warm_up}), MINIBATCH)


def test_dude_next_that_waits_for_everybody_only_loses_the_first_round():
    trace, _, updates = outcome(RANDOM, "dude", n_arrivals=4, warm_up="next")
    other, _, all_updates = outcome(RANDOM, "sgd_minibatch")
    assert trace == other and updates == all_updates - 1


def test_delay_adaptive_is_asgd_where_nobody_is_late():
    assert_same(clusters.equal(5), ("asgd_delay_adaptive", {}), ASGD)
    late = [outcome(RANDOM, name)[1] for name in ("asgd_delay_adaptive", "asgd")]
    assert not torch.equal(*late)


def test_dropping_is_asgd_where_no_delay_exceeds_2n():
    mild = clusters.Fixed((1.0, 1.25, 1.5, 2.0))
    assert 4 < outcome(mild, "asgd")[0].delays.max() + 1 <= 8  # some are late, none beyond 2n
    assert_same(mild, ("asgd_delay_adaptive", {"drop": True}), ASGD)
    slow = clusters.straggler(4, 12.0)
    assert not torch.equal(outcome(slow, "asgd_delay_adaptive", drop=True)[1], outcome(slow, "asgd")[1])


def test_dropping_throws_away_exactly_those_beyond_2n_and_they_make_no_update():
    method = METHODS["asgd_delay_adaptive"](LR, drop=True)
    trace = simulate(clusters.straggler(4, 30.0), method, arrivals=500)
    tau = update_delays(trace, method.rule) + 1
    history = replay(trace, method, quadratic(), every=500)
    assert history["used"].iloc[-1] == history["updates"].iloc[-1] == (tau <= 8).sum() < 500


def test_rescaled_by_equal_times_is_asgd():
    # 49 s: 1 / 49 * 49 is not 1 in binary arithmetic.
    assert_same(RANDOM, ("asgd_rescaled", {"times": (49.0,) * 4}), ASGD)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [("sgd_minibatch", {}), ("asgd_delay_adaptive", {}), ("asgd_delay_adaptive", {"drop": True}), ("dude", {}), ("asgd_random", {}),
     ("dude", {"warm_up": "broadcast"}), ("asgd_shuffled", {}), ("fedbuff", {"buffer": 1}), ("mifa", {}), ("asgd_rescaled", {}),
     ("local_sgd", {"local_steps": 1}), ("rennala", {}), ("malenia", {}), ("ringmaster", {}),
     ("ringmaster", {"threshold": 1, "stop": True}), ("ringleader", {}), ("mindflayer", {}), ("k_async", {}), ("k_sync", {}),
     ("dasa", {}), ("aced", {}), ("aced", {"oldest": 0}),
     ("asgd_staleness_aware", {}), ("picky", {"radius": 1e-9})],
)  # fmt: skip
def test_with_one_worker_everything_is_plain_sgd(name, hyper):
    assert_same(clusters.Exponential((3.0,)), (name, hyper), ASGD)


@pytest.mark.parametrize("name", ["shifted_momentum", "smega2", "sgd_minibatch", "delay_filter"])
def test_with_one_worker_momentum_is_heavy_ball(name):
    assert_same(clusters.Exponential((3.0,)), (name, {"momentum": 0.9}), ("asgd_naive_momentum", {"momentum": 0.9}))


def test_plain_sgd_by_hand():
    cluster, problem = clusters.Fixed((2.0,)), quadratic(1)
    x = problem.x0
    for _ in range(30):
        x = x - LR * (problem.A[0] * x - problem.b[0])
    method = METHODS["asgd"](LR)
    assert torch.equal(replay(simulate(cluster, method, arrivals=30), method, problem).attrs["x"][0], x)


def test_greedy_methods_share_one_trace_and_barriers_another():
    greedy = ["asgd", "asgd_delay_adaptive", "dude", "fedbuff", "asgd_rescaled", "ormo", "ormo_da", "asgd_naive_momentum",
              "shifted_momentum", "smega2", "rennala", "malenia", "ringmaster", "ringleader", "delay_filter", "ca2fl", "dasa", "aced",
              "asgd_staleness_aware", "asgd_clipped", "picky", "fedasync"]  # fmt: skip
    traces = [simulate(RANDOM, METHODS[name](LR), arrivals=60, seed=5) for name in greedy]
    assert all(t == traces[0] for t in traces)
    assert simulate(RANDOM, METHODS["sgd_minibatch"](LR), arrivals=60, seed=5) != traces[0]


@pytest.mark.parametrize("policy", ["asgd", "sgd_minibatch"])
def test_a_recording_of_a_trace_gives_the_trace_again(policy):
    method = METHODS[policy](LR)
    whole = clusters.Uniform((1.0, 2.0, 3.0), (2.0, 4.0, 9.0))
    trace = simulate(clusters.Fixed((1.0, 2.0, 5.0)), method, arrivals=100)
    again = simulate(clusters.FromTrace(trace), method, arrivals=100)
    assert again == trace  # whole seconds: differences of times are exact
    trace = simulate(whole, method, arrivals=100, seed=3)
    again = simulate(clusters.FromTrace(trace), method, arrivals=100, seed=9)
    assert all(np.array_equal(getattr(again, c), getattr(trace, c)) for c in ("job", "worker", "read"))
    np.testing.assert_allclose(again.end, trace.end, rtol=1e-13)


@pytest.mark.parametrize("name", ["asgd", "asgd_delay_adaptive", "asgd_random", "asgd_rescaled"])
@pytest.mark.parametrize("cluster", [RANDOM, clusters.straggler(4, 12.0)], ids=["random", "straggler"])
def test_the_virtual_iterate_differs_by_the_steps_in_flight_alone(cluster, name):
    """y applies each gradient when its computation starts: x_k - y_k = sum of lr_j g_j over the jobs in flight, however old."""
    method, problem, arrivals = METHODS[name](LR), quadratic(sigma=0.1), 400
    trace = simulate(cluster, method, arrivals=arrivals, seed=2)
    steps = by_hand(trace, method, problem)
    moves = torch.stack([s.before.x - s.after.x for s in steps])  # lr_j g_j of each arrival j, as the rule made them
    gaps = []
    for k in range(arrivals + 1):
        started, arrived = torch.tensor(trace.read <= k), torch.arange(arrivals) < k
        x = steps[k].before.x if k < arrivals else steps[-1].after.x
        y = problem.x0 - moves[started].sum(0)
        flying = moves[started & ~arrived]
        assert len(flying) <= 4
        assert (x - y - flying.sum(0)).abs().max() < 1e-14
        gaps.append(float((x - y).norm()))
    assert max(gaps[100:300]) > 1e-3  # the gap itself is no rounding


def test_virtual_iterate_recursion():
    """Mishchenko et al.: y_1 = x_0 - sum of everybody's first steps, then y_{k+1} = y_k - lr g of the job begun after arrival k."""
    method, problem = METHODS["asgd"](LR), quadratic(sigma=0.1)
    trace = simulate(FIXED, method, arrivals=300)
    steps = by_hand(trace, method, problem)
    grad_of = {int(job): s.arrival.grad for job, s in zip(trace.job, steps, strict=True)}
    y = problem.x0 - sum(LR * grad_of[j] for j in range(4))
    for k in range(1, 280):  # the last jobs never arrive in this trace
        y = y - LR * grad_of[k + 3]  # jobs are numbered as they begin: job k + 3 begins after arrival k
        flying = [j for j in range(k + 4) if j not in set(trace.job[:k].tolist())]
        x = steps[k].before.x
        assert len(flying) == 4
        assert (x - y - sum(LR * grad_of[j] for j in flying)).abs().max() < 1e-14


def test_throughput_of_fixed_workers_is_the_sum_of_floors():
    # s = (1, 1.5, 2, 5, 11) to 110 s: 110 + 73 + 55 + 22 + 10 gradients; minibatch: 5 in each of 10 rounds.
    cluster = clusters.Fixed((1.0, 1.5, 2.0, 5.0, 11.0))
    assert len(simulate(cluster, METHODS["asgd"](LR), until=110.0)) == 270
    trace = simulate(cluster, METHODS["sgd_minibatch"](LR), until=110.0)
    assert len(trace) == 50 and METHODS["sgd_minibatch"](LR).policy == Barrier()


@pytest.mark.parametrize(
    ("times", "ratio"), [((1.0,) * 8, 1), ((1.0,) * 7 + (10.0,), 71 / 8), (range(1, 9), sum(8 / i for i in range(1, 9)) / 8)]
)
def test_throughput_ratio_is_the_mean_of_slowest_over_own(times, ratio):
    cluster, until = clusters.Fixed(tuple(times)), 1680.0  # every worker's time divides it: no rounding by floors
    greedy, barrier = (len(simulate(cluster, METHODS[m](LR), until=until)) for m in ("asgd", "sgd_minibatch"))
    assert greedy / barrier == pytest.approx(ratio, rel=1e-12)
