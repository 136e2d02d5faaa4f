"""DuDe's delays, noise and straggler in closed form, against traces and replays."""

import math

import numpy as np
import pytest
import torch

from asgd_lib import METHODS, clusters, history, problems, replay, simulate, theory


def test_delays_by_hand():
    # Workers of 1, 1 and 3 s; both delays are written down from the picture.
    trace = simulate(clusters.Fixed((1.0, 1.0, 3.0)), METHODS["dude"](0.1), arrivals=7)
    assert trace.worker.tolist() == [0, 1, 0, 1, 2, 0, 1]
    assert trace.read.tolist() == [0, 0, 1, 2, 0, 3, 4]
    tau, rho = theory.dude_delays(trace.worker, trace.read, 3)
    assert tau.tolist() == [[4, 3, 5], [3, 4, 6], [4, 3, 7]]
    assert rho.tolist() == [[2, 1, 0], [0, 2, 1], [1, 0, 2]]


def test_no_delays_before_the_table_is_full():
    tau, rho = theory.dude_delays([0, 0, 0], [0, 1, 2], 2)
    assert tau.shape == rho.shape == (0, 2)
    with pytest.raises(ValueError, match="one length"):
        theory.dude_delays([0, 1], [0], 2)
    with pytest.raises(ValueError, match="read must say how many arrivals came before"):
        theory.dude_delays([0, 1], [0, 2], 2)


@pytest.mark.parametrize("seconds", [(1.0, 1.0, 1.0), (1.0, 1.5, 2.0, 5.0, 11.0)])
def test_noise_factor_is_what_a_replay_shows(seconds):
    n, d, lr = len(seconds), 256, 0.002
    F = problems.Quadratic(torch.ones(n, d), torch.zeros(n, d), sigma=1.0)
    trace = simulate(clusters.Fixed(seconds), METHODS["dude"](lr), arrivals=6000)
    rest = history.final(replay(trace, METHODS["dude"](lr), F, seeds=range(3), every=40), "grad_norm_sq", last=0.7)
    predicted = theory.dude_noise_factor(seconds) * theory.noise_floor(lr, 1.0, 1.0)
    assert rest["value"].mean() == pytest.approx(predicted, rel=0.06)
    assert theory.dude_noise_factor((2.0, 2.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [(1.0, 1.0), (1.0, 1.0, 7.0)])
def test_noise_time_is_what_a_tuned_replay_needs(seconds):
    n, d, ratio = len(seconds), 64, 400.0
    seconds_predicted = theory.dude_noise_time(seconds, 4.0, ratio)
    F = problems.Quadratic(torch.ones(n, d), torch.zeros(n, d), (ratio / 4) ** 0.5, torch.full((d,), (2 / d) ** 0.5))
    best = 1 / (ratio * theory.dude_noise_factor(seconds))
    methods = [METHODS["dude"](best * k) for k in (0.5, 0.7, 1.0, 1.4, 2.0)]
    trace = simulate(clusters.Fixed(seconds), methods[0], until=1.4 * seconds_predicted)
    table = history.running_mean(replay(trace, methods, F, seeds=range(3), every=50))
    tuned, _, lost = history.tuned_time_to({"dude": table}, 0.25, "mean_grad_norm_sq")
    assert not lost
    assert tuned["dude"].mean() == pytest.approx(seconds_predicted, rel=0.15)
    bound = theory.lower_bound_time_heterogeneous(seconds, 4.0, 1e9)
    assert theory.dude_noise_time(seconds, 4.0, 1e9) == pytest.approx(2 * bound, rel=1e-6)


@pytest.mark.parametrize(("n", "reduction", "cycles"), [(8, 100.0, 5), (8, 49.0, 3), (11, 1000.0, 5)])
def test_straggler_cycles_are_what_a_replay_takes(n, reduction, cycles):
    assert theory.dude_straggler_cycles(n, reduction) == cycles
    A = torch.logspace(-0.5, 0, 4).expand(n, 4)
    F = problems.Quadratic(A, torch.zeros(n, 4), x0=torch.ones(4))
    method = METHODS["dude"](0.05)
    trace = simulate(clusters.straggler(n, 160.0), method, until=160.0 * (cycles + 1))
    table = replay(trace, method, F, every=n)
    target = 1.05 * float(F.full_grad(F.x0).square().sum()) / reduction**2
    # Well after the start of each cycle the model rests; just before this one begins the target is still out of reach.
    late = table[table["time"] % 160 > 120]
    reached = late.loc[late["grad_norm_sq"] <= target, "time"].min()
    assert np.floor(reached / 160) == cycles


def test_a_power_of_the_fast_workers_is_reached_with_its_own_factor():
    for n in range(3, 40):
        assert [theory.dude_straggler_cycles(n, (n - 1.0) ** j) for j in range(1, 9)] == [2 * j - 1 for j in range(1, 9)]


def test_straggler_cycles_need_two_fast_workers_and_a_goal():
    with pytest.raises(ValueError, match="at least 3"):
        theory.dude_straggler_cycles(2, 10.0)
    with pytest.raises(ValueError, match="above 1"):
        theory.dude_straggler_cycles(4, 1.0)
    with pytest.raises(ValueError, match="reduction must be a finite number above 0; got inf"):
        theory.dude_straggler_cycles(4, math.inf)
