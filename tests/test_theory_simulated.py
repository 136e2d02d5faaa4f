"""Theory as an oracle, the remaining formulas: bounds, settings and rounds against replays and simulated clocks.

Where a formula is an order with its constants set to 1, a bound may be missed by 4, which is ours; tests say what else would refute it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asgd_lib import METHODS, clusters, history, problems, replay, simulate, theory
from asgd_lib.clusters import Link, Nodes

SECONDS = (1.0, 1.5, 2.0, 5.0, 11.0)
ORDER = 4.0


@pytest.mark.parametrize("gradients", [1, 3, 10, 30, 3000])
@pytest.mark.parametrize("seconds", [SECONDS, (1.0, 30.0), (4.0,) * 6])
def test_the_equilibrium_time_is_that_of_the_clock_up_to_a_factor_of_two(seconds, gradients):
    clock = simulate(clusters.Fixed(seconds), METHODS["asgd"](0.1), arrivals=gradients).end[-1]
    formula = theory.equilibrium_time(seconds, gradients)
    # floor(t / h) gradients of a worker are at most t / h, and at least half of that once there is one.
    assert formula * (1 - 1e-12) <= clock <= 2 * formula
    if gradients == 3000:
        assert clock == pytest.approx(formula, rel=0.01)  # floors cost a gradient a worker


@pytest.mark.parametrize("batch", [1, 20, 100])
@pytest.mark.parametrize(("name", "formula"), [("rennala", theory.time_rennala), ("malenia", theory.time_malenia)])
def test_rounds_of_optimal_methods_take_their_formulas_seconds_up_to_a_factor_of_two(name, formula, batch):
    problem = problems.Quadratic(torch.ones(5, 1), torch.zeros(5, 1), x0=torch.ones(1))
    method = METHODS[name](0.01, batch=batch)
    one = formula(SECONDS, 1.0, float(batch))
    trace = simulate(clusters.Fixed(SECONDS), method, until=20 * one)
    first = replay(trace, method, problem, every=1).groupby("updates")["time"].min()
    assert len(first) > 10
    # One step is L delta / eps = 1, and its batch sigma^2 / eps. A job that a new model overtakes is finished and ignored, which at most
    # doubles a round; and the formula adds where a round takes the larger of two.
    assert 0.5 <= (first.iloc[-1] - first.iloc[1]) / (len(first) - 2) / one <= 2


def test_a_flat_ring_carries_what_its_chunks_do():
    for nodes, per_node in ((2, 1), (3, 2), (4, 4)):
        n, crossed = nodes * per_node, 0
        for _step in range(2 * (n - 1)):  # reduce-scatter, then all-gather: in each step everybody sends one n-th to the next
            crossed += sum(rank // per_node != (rank + 1) % n // per_node for rank in range(n))
        assert theory.flat_ring_bytes(7, nodes, per_node, 120.0) == pytest.approx(7 * crossed * 120.0 / n)


@pytest.mark.parametrize(("ring", "compressed"), [(0.4, False), (0.4, True), (2.5, False)])
def test_the_saving_is_that_of_two_simulated_trainings(ring, compressed):
    # A ring between two nodes sends 2 (P - 1) / P = 1 model: message_bytes / bandwidth = `ring` seconds. Gradients take 1 s.
    cluster = Nodes(clusters.equal(2), 1, between=Link(bandwidth=100.0 / ring))
    epochs = {"epoch": 40, "epochs": 10, "warm_up": 1, "cool_down": 1}
    daso = METHODS["daso"](0.1, epoch_sync=True, compress=compressed, **epochs)
    ends = [simulate(cluster, m, arrivals=2 * 400, message_bytes=100).end[-1] for m in (daso, METHODS["daso"](0.1, skip=0, wait=0))]
    assert cluster.all_reduce(100) == pytest.approx(ring)
    formula = theory.daso_saving(ring / (1 + ring), 0.2, compressed=compressed)
    # The 8 cycling epochs have an average more at their ends, where a sum a little late is waited for as well: two rings an epoch at most.
    slack = 8 * 2 * ring / (400 * (1 + ring))
    assert formula - slack <= 1 - ends[0] / ends[1] <= formula + 0.002  # the last ring of synchronous training is not in its trace
    assert slack < 0.15 * formula


@pytest.mark.parametrize("n", [1, 32])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_the_convex_rate_is_that_of_tuned_asgd_where_it_is_hard(n, sigma):
    """F has the curvature L = 1, which limits the step, and along x0 the one which is hardest for so many gradients."""
    arrivals = 1024
    slow = min(1.0, max(n, sigma * arrivals**0.5) / arrivals)
    problem = problems.Quadratic(torch.tensor([[1.0, slow]]).expand(n, 2), torch.zeros(n, 2), sigma, torch.tensor([1e-3, 1.0]))
    methods = [METHODS["asgd_delay_adaptive"](lr=float(lr)) for lr in theory.critical_step_asgd(n) * np.geomspace(1e-3, 0.9, 16)]
    trace = simulate(clusters.equal(n), methods[0], arrivals=arrivals)
    table = history.running_mean(replay(trace, methods, problem, seeds=range(4), every=16), "gap")
    best = history.tuned_final(table, "mean_gap").mean()  # by convexity F at the average model is less
    # One constant (measured: 0.13 to 0.28) for n thirty-two times as large, with noise and without.
    assert 0.1 < best / theory.rate_convex(arrivals, n, 1.0, 1.0, sigma**2) < 0.4


@pytest.mark.parametrize("zeta", [0.3, 3.0])
def test_the_heterogeneous_rate_bounds_tuned_asgd_and_its_floor_is_met(zeta):
    n, arrivals = 5, 3000
    b = zeta * torch.tensor([1.0, 1.0, 1.0, 1.0, -4.0]).double().view(n, 1) / 2  # sums to 0; the root of the mean square is zeta
    problem = problems.Quadratic(torch.ones(n, 1), b, x0=torch.ones(1))
    zeta_sq = problem.zeta_sq
    methods = [METHODS["asgd_delay_adaptive"](lr=float(lr)) for lr in np.geomspace(0.002, 0.2, 8)]
    trace = simulate(clusters.Fixed(SECONDS), methods[0], arrivals=arrivals)
    table = history.running_mean(replay(trace, methods, problem, every=20))
    best = history.tuned_final(table, "mean_grad_norm_sq").mean()
    assert zeta_sq == pytest.approx(zeta**2)
    assert best < ORDER * theory.rate_heterogeneous(arrivals, n, 1.0, 0.5, 0.0, zeta_sq)
    # Without the floor the bound would be broken, twentyfold where the data differ much.
    assert zeta < 1 or best > 20 * theory.rate_nonconvex(arrivals, n, 1.0, 0.5, 0.0)


@pytest.mark.parametrize("fleet", [clusters.straggler(5, 40.0), clusters.Exponential(SECONDS)])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_the_rate_of_asynchronous_minibatching_bounds_the_delay_filter(fleet, sigma):
    arrivals, n = 2048, 5
    problem = problems.Quadratic(torch.ones(n, 2), torch.zeros(n, 2), sigma, torch.tensor([1.0, 0.0]))
    trace = simulate(fleet, METHODS["asgd"](0.1), arrivals=arrivals)
    rates = [theory.rate_delay_filter(arrivals, q, max(1.0, np.quantile(trace.delays, q)), 1.0, 0.5, sigma**2) for q in (0.3, 0.5, 0.8)]
    best = np.inf
    for batch in (1, 8):
        methods = [METHODS["delay_filter"](float(lr), batch=batch, momentum=0.0) for lr in np.geomspace(0.02, 1.3, 7)]
        own = simulate(fleet, methods[0], arrivals=arrivals)
        # The average is over gradients, as T counts them; without noise nearly all of it comes from the first few.
        table = replay(own, methods, problem, seeds=range(3 if sigma else 1), every=16 if sigma else 1)
        best = min(best, history.tuned_final(history.running_mean(table, clock="arrivals"), "mean_grad_norm_sq").mean())
    assert 0.02 * min(rates) < best < ORDER * min(rates)


@pytest.mark.parametrize(("n", "sigma"), [(2, 0.0), (6, 0.0), (6, 1.0)])
def test_dudes_orders_bound_its_tuned_runs_and_its_theorems_step_does_what_it_says(n, sigma):
    tau_max, arrivals = theory.dude_tau_max(n), 1500
    b = torch.linspace(-1, 1, n, dtype=torch.float64).view(n, 1) * 5  # far apart: the orders know no zeta
    problem = problems.Quadratic(torch.ones(n, 1), b, sigma, torch.tensor([0.2]))
    delta = 0.02
    steps = [float(lr) for lr in theory.critical_step_dude(n) * np.geomspace(0.003, 0.8, 8)]
    least = int(theory.dude_least_arrivals(1.0, delta, n, tau_max))
    steps.append(theory.dude_step(1.0, tau_max, n, delta, least))
    methods = [METHODS["dude"](lr) for lr in steps]
    trace = simulate(clusters.equal(n), methods[0], arrivals=arrivals)
    table = history.running_mean(replay(trace, methods, problem, seeds=range(4), every=5))
    eps = history.final(table, "mean_grad_norm_sq").groupby("lr")["value"].mean().min()
    assert theory.initial_gap(problem) == pytest.approx(delta)
    assert arrivals < ORDER * theory.dude_iterations(eps / ORDER, 1.0, delta, sigma**2, tau_max, n)
    upto = table[(table["lr"] == steps[-1]) & (table["updates"] <= least)]
    mean = history.final(upto, "mean_grad_norm_sq")["value"].mean()
    bound = (1 + sigma**2) * (tau_max * delta / (n * least)) ** 0.5  # the order after Theorem 1's step; its constant is not known
    assert least <= arrivals and 0.1 * bound / (1 + sigma**2) < mean < ORDER * bound


@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_ringleaders_step_reaches_eps_however_different_the_data(sigma):
    n, eps = 5, 0.05
    A = torch.linspace(0.2, 1, 10, dtype=torch.float64).view(5, 2)
    b = torch.tensor([[4.0, -2.0], [-4.0, 2.0], [3.0, 0.0], [-3.0, 1.0], [0.0, -1.0]]).double()
    problem = problems.Quadratic(A, b, sigma, torch.full((2,), 2.0))
    assert problem.zeta_sq > 100 * eps
    method = METHODS["ringleader"](theory.ringleader_step(problem.L, eps, sigma**2, n))
    trace = simulate(clusters.Fixed(SECONDS), method, arrivals=8000)
    table = replay(trace, method, problem, seeds=range(4), every=40)
    assert float(table[table["arrivals"] == 0]["grad_norm_sq"].iloc[0]) > 10 * eps
    assert table[table["arrivals"] > 6000]["grad_norm_sq"].mean() < eps


def second_moments(steps: np.ndarray, curvature: float, noise: float, start: float) -> np.ndarray:
    """E w_t^2, t = 0, 1, ..., of w <- w - lr_t (h w + noise), exactly."""
    moments = [start]
    for lr in steps:
        moments.append((1 - lr * curvature) ** 2 * moments[-1] + lr**2 * noise)
    return np.array(moments)


@pytest.mark.parametrize("start", [0.0, 30.0])
def test_the_bounds_of_sgd_enclose_the_exact_error(start):
    mu, S, t = 0.5, 2.0, np.arange(1, 40_001)
    N, L = 2 * S, mu  # 2 E|grad f(w*)|^2
    exact = second_moments(2 / (mu * (t - 1 + 4 * L / mu)), mu, S, start)[1:]
    upper, lower = theory.sgd_bound(t, N, mu, L, start), theory.sgd_lower_bound(t, N, mu)
    known = ~np.isnan(upper)
    assert known.sum() > 39_000 and (exact[known] <= upper[known]).all()
    assert (exact[-100:] >= lower[-100:]).all() and upper[-1] / lower[-1] == pytest.approx(32, rel=0.01)
    # The step 1 / (mu t) from w* on attains the lower bound, to the last digit.
    best = second_moments(1 / (mu * t), mu, S, start)[1:]
    np.testing.assert_allclose(best, lower, rtol=1e-12)
    # Steps 12 / (mu (t + E)), the least that Lemma 12 allows, cost (144/23) S / mu^2 / t, far below their bound.
    growing = second_moments(12 / (mu * (t + 24)), mu, S, start)[1:]
    assert growing[-1] * t[-1] == pytest.approx(theory.sgd_error_constant(12 / mu, [mu], [S]), rel=0.01)
    assert (growing[1000:] <= theory.hogwild_bound(t, 12, N, mu)[1000:]).all()
