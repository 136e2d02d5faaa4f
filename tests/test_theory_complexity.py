"""Time complexities of the field, the settings of its theorems, and the constants of a problem."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import Slope, quadratic
from hypothesis import given
from hypothesis import strategies as st
from serving import digits

from asgd_lib import METHODS, clusters, partition, problems, replay, simulate, theory

times = st.lists(st.floats(0.1, 50.0), min_size=1, max_size=8)
noises = st.floats(0.0, 1e4)


@pytest.mark.parametrize(
    ("seconds", "noise", "rennala", "malenia"),
    [
        (range(1, 17), 1, 2.0, 16.5),
        (range(1, 17), 100, 34.3, 69.1),
        ([1] * 15 + [100], 100, 7.67, 145),
        (np.sqrt(np.arange(1, 101)), 100, 10.8, 16.7),
    ],
)
def test_times_of_optimal_methods_have_their_reference_values(seconds, noise, rennala, malenia):
    seconds = [float(s) for s in seconds]
    homogeneous, heterogeneous = (theory.time_rennala, theory.time_ringmaster), (theory.time_malenia, theory.time_ringleader)
    for formula, value in [(f, rennala) for f in homogeneous] + [(f, malenia) for f in heterogeneous]:
        assert formula(seconds, 1.0, noise) == pytest.approx(value, rel=5e-3)
        assert formula(seconds, 7.0, noise) == pytest.approx(7 * formula(seconds, 1.0, noise))


@given(seconds=times, noise=noises)
def test_mindflayer_with_certain_success_and_no_extra_time_is_rennala(seconds, noise):
    assert theory.time_mindflayer(seconds, 0.0, 1.0, 2.0, noise) == pytest.approx(theory.time_rennala(seconds, 2.0, noise), rel=1e-12)
    # Waiting longer for the same chance, or a smaller chance in the same time, never helps.
    assert theory.time_mindflayer(seconds, 1.0, 1.0, 2.0, noise) >= theory.time_mindflayer(seconds, 0.5, 1.0, 2.0, noise)
    if noise > 0:
        assert theory.time_mindflayer(seconds, 1.0, 0.5, 2.0, noise) >= theory.time_mindflayer(seconds, 1.0, 1.0, 2.0, noise) / 2


def test_mindflayer_by_hand():
    # Rates p / (s + t): 0.5 / 2 and 1 / 8. One worker: (S + 0.5) / 0.25; both: (S + 1.5) / 0.375.
    for noise in (0.0, 1.0, 10.0):
        expected = min((noise + 0.5) / 0.25, (noise + 1.5) / 0.375)
        assert theory.time_mindflayer([7.0, 1.0], [1.0, 1.0], [1.0, 0.5], 1.0, noise) == pytest.approx(expected)


def test_trials_of_the_best_length_beat_waiting_where_times_have_heavy_tails():
    """Times 1 s with probability 1/2, otherwise 1000 s: giving up after 1 s is about 500 times as fast as the mean of 500.5 s suggests."""
    waiting = theory.time_rennala([500.5] * 4, 1.0, 40.0)
    assert waiting / theory.time_mindflayer([1.0] * 4, 0.0, 0.5, 1.0, 40.0) == pytest.approx(500.5 / 2 * 44 / 42)


@given(seconds=times, noise=noises)
def test_the_equilibrium_time_is_rennalas_up_to_a_factor_of_two(seconds, noise):
    ours, rennala = theory.time_shadowheart(seconds, 1.0, noise), theory.time_rennala(seconds, 1.0, noise)
    assert ours / 2 <= rennala * (1 + 1e-12) and rennala <= 2 * ours * (1 + 1e-12)
    assert theory.time_shadowheart(seconds, 1.0, noise, 3.0) >= max(3.0, ours) * (1 - 1e-12)  # sums in another order
    brute = min(max(h, noise / sum(1 / g for g in seconds if g <= h)) for h in seconds)
    assert ours == pytest.approx(brute, rel=1e-12)


def test_a_slow_link_excludes_a_fast_worker():
    # Worker 0 computes in 1 s but needs 50 s to send; worker 1 takes 4 s and sends at once: 10 gradients by worker 1 alone in 40 s.
    assert theory.equilibrium_time([1.0, 4.0], 10.0, [50.0, 0.0]) == 40.0
    assert theory.equilibrium_time([1.0, 4.0], 20.0, [50.0, 0.0]) == 50.0


@given(seconds=times, noise=noises)
def test_the_fastest_workers_alone_are_optimal(seconds, noise):
    m = theory.fastest_workers(seconds, noise)
    best = theory.time_rennala(seconds, 1.0, noise)
    assert theory.time_asgd(sorted(seconds)[:m], 1.0, noise) == pytest.approx(best, rel=1e-12)
    assert theory.fastest_workers(seconds, 1e9) == len(seconds) and theory.fastest_workers([1.0, 1.5, 9.0], 0.0) == 1
    assert theory.fastest_workers([seconds[0]] * 50, 0.0) == 1  # all alike, and no noise: the least of equals


@given(seconds=times, sigma_sq=noises)
def test_convex_times(seconds, sigma_sq):
    ours = theory.lower_bound_time_convex(seconds, 4.0, 3.0, sigma_sq, 0.25)
    # It is the nonconvex form with sqrt(L) R / sqrt(eps) = 12 steps, and sigma^2 R^2 / eps^2 = 144 sigma^2 gradients against noise.
    assert ours == pytest.approx(12 * theory.time_rennala(seconds, 1.0, 12 * sigma_sq), rel=1e-12)


@pytest.mark.parametrize(("n", "k"), [(6, 1), (6, 3), (6, 6)])
def test_rounds_of_the_first_k_on_exponential_times(n, k):
    cluster, rounds = clusters.Exponential((2.0,) * n), 6000
    expected = theory.round_time_first_k(2.0, n, k)
    for name in ("k_sync", "k_async"):  # without memory it is all one whether the others go on or start again
        end = simulate(cluster, METHODS[name](0.1, k=k), arrivals=k * rounds, seed=3).end[-1]
        assert end / rounds == pytest.approx(expected, rel=0.04), name  # 3 standard errors: an interval has a deviation below its mean
    end = simulate(cluster, METHODS["fedbuff"](0.1, buffer=k), arrivals=k * rounds, seed=3).end[-1]
    assert end / rounds == pytest.approx(theory.round_time_batch(2.0, n, k), rel=0.04)
    assert theory.round_time_batch(2.0, n, k) <= expected * (1 + 1e-12)
    assert theory.round_time_first_k(2.0, n, n) == pytest.approx(2.0 * sum(1 / i for i in range(1, n + 1)))


def test_settings_by_hand():
    assert [theory.gradients_a_step(0.5, v) for v in (0.0, 0.4, 0.5, 0.6, 5.0)] == [1, 1, 1, 2, 10]
    assert [theory.gradients_a_step(0.1, r * 0.1) for r in range(1, 200)] == list(range(1, 200))  # 0.1 * 3 is above 0.3
    # L = 2, eps = 0.5, sigma^2 = 5: S = R = 10.
    assert theory.rennala_step(2.0, 0.5, 5.0) == pytest.approx(0.25) and theory.rennala_step(2.0, 0.5, 0.0) == 0.5
    assert theory.ringmaster_step(2.0, 0.5, 5.0) == pytest.approx(1 / 80) and theory.ringmaster_step(2.0, 0.5, 0.0) == 0.25
    assert theory.rennala_updates(2.0, 3.0, 0.5) == 288 and theory.ringmaster_updates(2.0, 3.0, 0.5, 5.0) == 8 * 10 * 12 + 16 * 5 * 6 / 0.25
    assert [theory.tree_step(2.0, 0.5, 0.0, late) for late in (0, 1, 9)] == [1 / 4, 1 / 4, 1 / 36]
    assert theory.tree_step(2.0, 0.5, 5.0, 0) == pytest.approx(1 / 80)
    assert theory.tree_updates(2.0, 3.0, 0.5, 5.0, 9) == 4 * 10 * 12 + 8 * 5 * 6 / 0.25
    assert theory.ringleader_step(2.0, 0.5, 0.0, 4) == 1 / 64 and theory.ringleader_step(2.0, 0.5, 5.0, 1, 0.5) == pytest.approx(0.0025)
    assert theory.ringleader_most_delay(5) == 8
    assert theory.rate_delay_filter(100, 0.5, 4.0, 2.0, 3.0, 0.0) == pytest.approx(24 / 50)
    assert theory.rate_delay_filter(100, 0.5, 4.0, 2.0, 3.0, 5.0) == pytest.approx(24 / 50 + (30 / 50) ** 0.5)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_the_theorems_settings_reach_eps_on_a_quadratic(noise):
    """With the step size, threshold or batch and the number of updates that they set, the mean of |grad F|^2 is below eps."""
    problem = problems.Quadratic(torch.linspace(0.1, 1, 6).double().expand(5, 6), torch.zeros(5, 6), noise**0.5, torch.ones(6).double())
    facts = theory.problem_constants(problem)
    eps, L, delta, sigma_sq = 0.5, facts.L, facts.delta, facts.sigma_sq
    assert (L, sigma_sq, facts.zeta_sq) == (1.0, pytest.approx(noise), 0.0)
    assert delta == pytest.approx(1.65)  # half the sum of the eigenvalues
    R = theory.gradients_a_step(eps, sigma_sq)
    late = R - 1
    cases = [
        (METHODS["rennala"](theory.rennala_step(L, eps, sigma_sq), batch=R), theory.rennala_updates(L, delta, eps)),
        (METHODS["ringmaster"](theory.ringmaster_step(L, eps, sigma_sq), threshold=R), theory.ringmaster_updates(L, delta, eps, sigma_sq)),
        (METHODS["ringmaster"](theory.tree_step(L, eps, sigma_sq, late), threshold=R), theory.tree_updates(L, delta, eps, sigma_sq, late)),
    ]
    for method, updates in cases:
        trace = simulate(clusters.Fixed((1.0, 1.5, 2.0, 3.0, 7.0)), method, arrivals=(2 if noise else 12) * R * math.ceil(updates))
        table = replay(trace, method, problem, seeds=range(4), every=10 if noise else 1)
        table = table[table["updates"] < updates].drop_duplicates(["run", "updates"])
        assert table["updates"].max() >= updates - 10
        assert table["grad_norm_sq"].mean() <= eps


def test_constants_of_a_quadratic_are_exact_and_those_of_other_problems_are_measured():
    exact = quadratic(4, 5, sigma=0.7, dense=True)
    facts = theory.problem_constants(exact, x=exact.minimiser)
    assert facts == (exact.L, pytest.approx(float(exact.loss(exact.x0)) - exact.minimum), pytest.approx(0.49), pytest.approx(exact.zeta_sq))

    class Hidden:  # the same problem, without its knowledge
        def __init__(self):
            self.n, self.x0 = exact.n, exact.x0

        def __getattr__(self, name):
            if name in ("L", "sigma", "minimum"):
                raise AttributeError(name)
            return getattr(exact, name)

    curvature = float(torch.linalg.eigvalsh(exact.A.mean(0)).max())
    assert 0.99 * curvature < theory.smoothness(Hidden()) <= curvature * (1 + 1e-9)
    assert theory.smoothness(Hidden(), steps=3000) == pytest.approx(curvature, rel=1e-6)
    assert theory.smoothness(Slope()) == 0.0  # of a linear function, and not nan
    assert theory.gradient_variance(Hidden(), draws=4000) == pytest.approx(0.49, rel=0.04)  # 4 s.e.: 0.49 sqrt(2/5 / 16000) = 0.5 %
    assert theory.initial_gap(Hidden(), minimum=exact.minimum) == pytest.approx(theory.initial_gap(exact))
    assert theory.dissimilarity(Hidden(), exact.minimiser) == pytest.approx(exact.zeta_sq)
    with pytest.raises(ValueError, match=r"does not know its minimum: pass minimum=\.\.\., for losses minimum=0.0 is a bound"):
        theory.initial_gap(Hidden())
    with pytest.raises(ValueError, match=r"x must have shape \(5,\), as x0 has; got \(4,\)"):
        theory.dissimilarity(exact, torch.zeros(4))
    start = theory.initial_gap(Hidden(), minimum=0.0)
    with pytest.raises(ValueError, match=r"minimum must be at most F\(x0\) = .*, for nothing is below an infimum; got"):
        theory.initial_gap(Hidden(), minimum=start + 0.1)
    assert theory.initial_gap(Hidden(), minimum=start * (1 + 1e-9)) == 0.0  # rounding


@pytest.mark.parametrize("measure", [theory.problem_constants, theory.gradient_variance, theory.initial_gap, theory.dissimilarity])
def test_what_is_no_problem_is_refused_in_a_sentence(measure):
    gradients = SimpleNamespace(x0=torch.zeros(2), minimum=0.0, full_grad=lambda x, worker=None: x)
    assert theory.smoothness(gradients) == pytest.approx(1.0)  # needs no more
    with pytest.raises(ValueError, match=r"problem must be a Measurable \(with full_grad, grad, metrics, n, x0\); got namespace"):
        measure(gradients)


def test_constants_over_data():
    problem = digits()
    facts = theory.problem_constants(problem, minimum=0.0, draws=64)
    assert facts.delta == pytest.approx(math.log(10), rel=1e-5)  # zeros: every class is as likely
    alone = theory.gradient_variance(problem, draws=64, seed=1)
    assert facts.sigma_sq == pytest.approx(alone, rel=0.2) and facts.sigma_sq != alone
    # Samples are drawn with replacement: the variance is that of one sample over the batch.
    X, y = problem.X, problem.y
    single = []
    for worker in range(problem.n):
        index = problem.samples_of(worker)
        error = torch.full((len(index), 10), 0.1) - torch.nn.functional.one_hot(y[index], 10)
        inputs = torch.cat([X[index], torch.ones(len(index), 1)], 1) if problem.x0.numel() == 650 else X[index]
        grads = (error[:, :, None] * inputs[:, None, :]).flatten(1)
        single.append(float((grads - grads.mean(0)).square().sum(1).mean()))
    assert facts.sigma_sq == pytest.approx(np.mean(single) / 8, rel=0.1)
    assert facts.zeta_sq == partition.gradient_dissimilarity(problem, problem.n, problem.x0.double()) > 0 and 0 < facts.L < 100


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.time_rennala([0.0], 1.0, 1.0), "seconds must be"),
        (lambda: theory.time_mindflayer([1.0], 1.0, 1.5, 1.0, 1.0), r"success must be in \[0, 1\]"),
        (lambda: theory.equilibrium_time([1.0], -1.0), "gradients must be"),
        (lambda: theory.equilibrium_time([1.0, 2.0], 1.0, [1.0] * 3), "one number, or one a worker; got 2 seconds, 3 message_seconds"),
        (lambda: theory.time_mindflayer([1.0, 2.0], 1.0, [0.5] * 3, 1.0, 1.0), "or one a worker; got 2 seconds, 1 limit, 3 success"),
        (lambda: theory.round_time_first_k(1.0, 3, 4), "k must be a whole number of at least 1 and at most 3"),
        (lambda: theory.rennala_step(0.0, 1.0, 1.0), "L must be"),
        (lambda: theory.gradients_a_step(0.0, 1.0), "eps must be"),
        (lambda: theory.tree_step(1.0, 1.0, 1.0, -1), "most_delay must be"),
        (lambda: theory.fastest_workers([1.0], -1.0), "sigma_sq_over_eps must be"),
        (lambda: theory.rate_delay_filter(0, 0.5, 1.0, 1.0, 1.0, 0.0), "arrivals must be"),
        (lambda: theory.rate_delay_filter(10, 1.5, 1.0, 1.0, 1.0, 0.0), r"share must be in \(0, 1\]; got 1.5"),
        (lambda: theory.rate_delay_filter(10, 0.0, 1.0, 1.0, 1.0, 0.0), r"share must be in \(0, 1\]; got 0.0"),
        (lambda: theory.rate_delay_filter(10, 0.5, 0.5, 1.0, 1.0, 0.0), r"quantile must be in \[1, inf\); got 0.5"),
        (lambda: theory.hogwild_bound(100.0, 4.0, 1.0, 1.0), r"alpha must be in \[12, inf\); got 4.0"),
    ],
)
def test_a_senseless_argument_is_refused_in_a_sentence(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert str(error.value).endswith(".")
