"""What every row of METHODS owes its users. A new row runs through all of it; files of one's own run through CHECKS."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from cases import CASES, FIXED, RANDOM, every_method, every_name, quadratic

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.conformance import CHECKS
from asgd_lib.conformance.setting import random_trace
from asgd_lib.methods import Row
from asgd_lib.policies import Greedy, RandomAssignment, Rounds, ShuffledAssignment
from asgd_lib.rules import SGD, update_delays


def make(name, hyper, lr=0.1):
    return METHODS[name](lr, **hyper)


@every_method
@pytest.mark.parametrize("check", [check for check in CHECKS if check != "real processes"])  # those are test_serve.py's
def test_conforms(check, name, hyper):
    CHECKS[check](partial(METHODS[name], **hyper))


@every_method
def test_another_seed_gives_another_trace(name, hyper):
    method = make(name, hyper)
    assert simulate(RANDOM, method, arrivals=50, seed=4) != random_trace(method)


# Momentum 0.9 makes ten steps of each; rounds of hogwild_local take the sum of all local steps, and the sum must stay near 1.
STABLE = {"asgd_naive_momentum": 0.015, "shifted_momentum": 0.015, "smega2": 0.015, "hogwild_local": 0.05}
STABLE |= {"rennala": 1.0, "malenia": 1.0, "mindflayer": 1.0, "vecna": 1.0, "k_sync": 1.0}  # all fresh: few steps, and long ones
# label: lr, and the squared distance that 1600 arrivals reach.
SLOWER = {
    # Heavy ball forgets at sqrt(0.9) a step, whatever lr is, and 400 rounds (or buckets) are 400 steps: 0.9^400 = 5e-19.
    "sgd_minibatch(momentum=0.9)": (0.15, 1e-16),
    "delay_filter": (0.15, 1e-9),  # some 240 rounds: 0.9^240 = 1e-11
    "ormo(plain_step=True)": (0.15, 1e-12),
    "shifted_momentum": (0.015, 1e-17),
    # Rounds that grow need step sizes that fall, or an end: 16 rounds, the last of 192 gradients.
    "hogwild_local": (0.01, 1e-18),
    "hogwild_local(gap=0, samples=2)": (0.01, 1e-11),
    # Steps like 1/t move by a power of t, those like 1/sqrt(t) by a factor a round.
    "hogwild_local(samples=4, decay=0.05)": (0.1, 1e-6),
    "hogwild_local(samples=4, decay=0.6, schedule='sqrt')": (0.15, 1e-14),
    "local_sgd(local_steps=3, decay=0.01)": (0.15, 1e-5),
    # Models are sent in bfloat16, with up to 2^-8 of relative error.
    "daso(skip=0, wait=0, compress=True)": (0.15, 1e-3),
}


@pytest.mark.parametrize("label", CASES)
def test_reaches_the_minimiser_of_homogeneous_data(label):
    name, hyper = CASES[label]
    lr, near = SLOWER.get(label, (STABLE.get(name, 0.15), 1e-20))
    method, problem = make(name, hyper, lr=lr), quadratic(homogeneous=True)
    history = replay(simulate(FIXED, method, arrivals=1600), method, problem, every=1600)
    # The slowest take one step for four arrivals: (1 - 0.15 * 0.5)^400 < 3e-14.
    assert history["dist_sq"].iloc[0] > 1
    assert history["dist_sq"].iloc[-1] < near


# f_i = a_i/2 (x - b_i)^2 on fixed times: the mean gradient vanishes at 1/11; weighted by how often a worker answers (1/seconds) at -0.9489.
A, B, SECONDS = np.array([1, 2, 1, 0.5, 1]), np.array([-2.0, -1, 0, 1, 4]), np.array([1, 1.5, 2, 5, 11])


def balance(weights):
    return float((weights * A * B).sum() / (weights * A).sum())


RATE = 1 / SECONDS / (1 / SECONDS).sum()
GLOBAL, FREQUENT = balance(np.ones(5)), balance(RATE)
# name: where it must end, a step size, how near. Constant steps circle the limit at a distance of order lr; random assignment also shakes.
LIMITS = {
    "sgd_minibatch": (GLOBAL, 0.2, 1e-12),
    "dude": (GLOBAL, 0.03, 1e-12),
    "mifa": (GLOBAL, 0.1, 1e-12),
    "malenia": (GLOBAL, 0.5, 1e-12),
    "ringleader": (GLOBAL, 0.05, 1e-12),
    "mindflayer": (GLOBAL, 0.2, 1e-12),
    "vecna": (GLOBAL, 0.2, 1e-12),
    "ca2fl": (GLOBAL, 0.03, 1e-12),
    "aced": (GLOBAL, 0.03, 1e-12),
    "asgd": (FREQUENT, 0.002, 0.01),
    "fedbuff": (FREQUENT, 0.008, 0.01),
    "asgd_delay_adaptive": (balance(RATE * np.minimum(1, 5 * RATE)), 0.004, 0.02),
    "asgd_rescaled": (GLOBAL, 0.002, 0.02),
    "asgd_shuffled": (GLOBAL, 0.002, 0.02),
    "asgd_random": (GLOBAL, 0.002, 0.25),
}


@pytest.mark.parametrize("name", LIMITS)
def test_reaches_its_own_fixed_point_on_heterogeneous_data(name):
    limit, lr, near = LIMITS[name]
    problem = quadratic(5, 1).__class__(A[:, None], (A * B)[:, None])
    method = METHODS[name](lr)
    history = replay(simulate(clusters.Fixed(SECONDS), method, arrivals=4000, seed=1), method, problem, every=4000)
    assert abs(history.attrs["x"].item() - limit) < near


def test_the_two_fixed_points_are_far_apart():
    assert (GLOBAL, FREQUENT) == pytest.approx((1 / 11, -0.9489), abs=1e-4)


def test_different_methods_in_one_list_keep_their_order_and_their_bits():
    methods = [METHODS[n](lr) for n, lr in [("asgd", 0.1), ("dude", 0.05), ("asgd", 0.2), ("fedbuff", 0.1), ("dude", 0.1)]]
    trace, problem = random_trace(methods[0]), quadratic(sigma=0.5)
    table = replay(trace, methods, problem, seeds=(0, 1), every=40)
    assert table.groupby("run")[["method", "lr", "seed"]].first().values.tolist() == [[m.label, m.lr, s] for m in methods for s in (0, 1)]
    for i, method in enumerate(methods):
        alone = replay(trace, method, problem, seeds=(0, 1), every=40)
        assert torch.equal(table.attrs["x"][2 * i : 2 * i + 2], alone.attrs["x"])


NODES = [label for label, (_, hyper) in CASES.items() if "per_node" in hyper]  # their workers come in groups
MANY = {"times", "k", "trials", "workers"}  # these have a size that needs several workers, or hand out several jobs at once
SINGLE = [k for k, (_, hyper) in CASES.items() if hyper.get("n_arrivals", 1) == 1 and not MANY & hyper.keys() and k not in NODES]


@pytest.mark.parametrize("label", SINGLE)
def test_one_worker_has_no_delay(label):
    method = make(*CASES[label])
    trace = simulate(clusters.Exponential((2.0,)), method, arrivals=50)
    assert trace.read.tolist() == list(range(50))
    assert not update_delays(trace, method.rule).any()


DRAWS = (RandomAssignment, ShuffledAssignment, Rounds)  # these policies draw worker numbers


@pytest.mark.parametrize("label", [k for k, case in CASES.items() if not isinstance(make(*case).policy, DRAWS) and k not in NODES])
def test_the_names_of_the_workers_do_not_matter(label):
    name, hyper = CASES[label]
    order, problem = [2, 0, 3, 1], quadratic()  # worker i of the second cluster is worker order[i] of the first
    times = np.array([1.0, 2**0.5, 3**0.5, 4.4])  # no ties: equal times are served in order of worker
    swapped = hyper | ({"times": tuple(np.array(hyper["times"])[order])} if "times" in hyper else {})
    swapped |= {"workers": tuple(order.index(w) for w in hyper["workers"])} if "workers" in hyper else {}
    first, second = make(name, hyper), make(name, swapped)
    trace = simulate(clusters.Fixed(times), first, arrivals=100)
    other = simulate(clusters.Fixed(times[order]), second, arrivals=100)
    assert np.array_equal(np.array(order)[other.worker], trace.worker)
    assert all(np.array_equal(getattr(other, c), getattr(trace, c)) for c in ("read", "start", "end"))
    x = replay(trace, first, problem).attrs["x"]
    y = replay(other, second, problem.__class__(problem.A[order], problem.b[order], x0=problem.x0)).attrs["x"]
    # Only sums over workers may round differently.
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), 0, -0.1, "0.1", [], True])
@every_name
def test_a_senseless_step_size_is_refused(name, lr):
    with pytest.raises(ValueError, match=r"lr must be a finite number above 0; got .+\."):
        METHODS[name](lr)


@every_method
def test_a_rule_by_itself_refuses_it_too(name, hyper):
    rule = make(name, hyper).rule
    with pytest.raises(ValueError, match=r"lr must be a finite number above 0; got -0\.1\."):
        replace(rule, lr=-0.1)


def test_a_method_without_a_step_size_is_told_how_to_give_one():
    with pytest.raises(TypeError, match=r'^dude needs a step size lr, for example METHODS\["dude"\]\(lr=0.1\)\.$'):
        METHODS["dude"](n_arrivals=2)
    with pytest.raises(TypeError, match=r'^asgd needs a step size lr, for example METHODS\["asgd"\]\(lr=0.1\)\.$'):
        METHODS["asgd"](lr=None)
    with pytest.raises(TypeError, match=r"^mine needs a step size lr, for example row\(lr=0.1\)\.$"):
        Row(Greedy(), SGD, "own", "mine")()


@every_name
def test_an_unknown_hyperparameter_is_refused(name):
    with pytest.raises(TypeError, match=rf"{name} has no hyperparameter 'tempo'; it takes lr.*\."):
        METHODS[name](lr=0.1, tempo=3)


@every_name
def test_a_row_says_what_it_is(name):
    method = METHODS[name](lr=0.25)
    assert (method.name, method.label, method.lr) == (name, name, 0.25)
    assert method.source and type(method.rule).__doc__
