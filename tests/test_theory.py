"""Theory as an oracle, stability: closed-form critical steps and linear rates against replay."""

from __future__ import annotations

import numpy as np
import pytest

from asgd_lib import METHODS, clusters, replay, simulate, theory
from asgd_lib.problems import Quadratic


def one_dimensional(n: int, *, curvature: float = 1.0, sigma: float = 0.0, x0: float = 1.0) -> Quadratic:
    return Quadratic(np.full((n, 1), curvature), np.zeros((n, 1)), sigma=sigma, x0=[x0])


def trace_of(name: str, cluster, arrivals: int, **hyper):
    return simulate(cluster, METHODS[name](lr=0.1, **hyper), arrivals=arrivals)


def measured_critical_step(trace, name: str, grid: np.ndarray) -> float:
    """Where the growth of |x| from the second to the last third of a replay changes its sign, between two steps of the grid."""
    runs = replay(trace, [METHODS[name](lr=float(lr)) for lr in grid], one_dimensional(trace.n), every=13)
    third = len(trace) / 3
    middle = runs[(runs.arrivals > third) & (runs.arrivals <= 2 * third)].groupby("run")["dist_sq"].max()
    end = runs[runs.arrivals > 2 * third].groupby("run")["dist_sq"].max()
    growth = np.log(end / middle).reindex(range(len(grid))).fillna(np.inf).to_numpy()  # a diverged run lacks late checkpoints
    i = int(np.argmax(growth > 0))
    assert i > 0 and (growth[:i] < 0).all() and (growth[i:] > 0).all(), "the grid must hold the one critical step"
    return grid[i - 1] - growth[i - 1] * (grid[i] - grid[i - 1]) / (growth[i] - growth[i - 1])


@pytest.mark.parametrize("n", [2, 4, 8])
@pytest.mark.parametrize(
    ("name", "formula"),
    [("asgd", theory.critical_step_asgd), ("dude", theory.critical_step_dude), ("sgd_minibatch", theory.critical_step_minibatch)],
)
def test_critical_steps_are_those_at_which_replay_begins_to_grow(name, formula, n):
    trace = trace_of(name, clusters.equal(n), 200 * n)
    grid = np.geomspace(0.72, 1.5, 93) * formula(n)
    # The grid's step is 0.8 %; between two of its points the growth is nearly linear (measured error at most 4e-4).
    assert measured_critical_step(trace, name, grid) == pytest.approx(formula(n), rel=2e-3)


def test_critical_steps_of_four_workers():
    # Reference values found by bisection elsewhere, to the digits that were written down.
    assert theory.critical_step_asgd(4) == pytest.approx(0.4450, abs=1e-4)
    assert theory.critical_step_dude(4) == pytest.approx(0.334, abs=1.5e-3)
    assert theory.critical_step_minibatch(4, summed=True) == 0.5
    assert theory.critical_step_minibatch(4) == 2.0


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 30])
def test_closed_forms_are_the_roots_of_the_characteristic_polynomial(n):
    # `critical_step` bisects to 1e-11; the roots of the polynomial themselves cost some digits more.
    assert theory.critical_step_asgd(n) == pytest.approx(theory.critical_step(theory.delay_weights_asgd(n)), rel=1e-9)
    assert theory.critical_step_dude(n) == pytest.approx(theory.critical_step(theory.delay_weights_dude(n)), rel=1e-9)


def test_one_worker_has_the_critical_step_of_gradient_descent():
    for formula in (theory.critical_step_asgd, theory.critical_step_dude, theory.critical_step_minibatch):
        assert formula(1) == pytest.approx(2.0, rel=1e-15)


def test_critical_steps_of_many_workers():
    assert theory.critical_step_asgd(10**6) * 10**6 == pytest.approx(np.pi / 2, rel=1e-5)  # the next term is of order 1/n
    assert theory.critical_step_dude(10**6) * 10**6 == pytest.approx(np.pi**2 / 9, rel=1e-5)


def test_a_straggler_does_not_lower_the_critical_step():
    measured = {}
    for slowdown in (1, 3, 10, 30, 100):
        trace = trace_of("asgd", clusters.straggler(8, slowdown), 3000)
        measured[slowdown] = measured_critical_step(trace, "asgd", np.geomspace(0.9, 1.45, 28) * theory.critical_step_asgd(8))
    assert measured[1] == pytest.approx(theory.critical_step_asgd(8), rel=2e-3)
    # Where the straggler hardly ever arrives, its 7 colleagues are alone; it arrives 4 times here and moves the estimate little.
    assert measured[100] == pytest.approx(theory.critical_step_asgd(7), rel=3e-3)
    # tau_max grows 100-fold; a bound in 1/tau_max would make the step fall 100-fold. It stays within 25 %, and never below.
    assert all(0.998 < v / theory.critical_step_asgd(8) < 1.25 for v in measured.values())


@pytest.mark.parametrize(
    ("name", "weights", "critical"),
    [("asgd", theory.delay_weights_asgd, theory.critical_step_asgd), ("dude", theory.delay_weights_dude, theory.critical_step_dude)],
)
def test_the_spectral_radius_is_the_rate_of_replay(name, weights, critical):
    n = 4
    lrs = [0.1 * critical(n), 1.1 * critical(n)]
    trace = trace_of(name, clusters.equal(n), 400)
    runs = replay(trace, [METHODS[name](lr=2 * lr) for lr in lrs], one_dimensional(n, curvature=0.5), every=1)
    decay, growth = (runs.loc[runs.run == r, "dist_sq"].to_numpy() ** 0.5 for r in (0, 1))
    # One real root leads: no oscillation, and what the other roots add is gone after 200 steps.
    assert (decay[400] / decay[200]) ** (1 / 200) == pytest.approx(theory.linear_recursion_radius(lrs[0], weights(n)), rel=1e-6)
    # A pair of roots leads: the peaks of two windows (a few periods long) differ by a few per cent more, which is 3e-4 in the rate.
    rate = (growth[350:401].max() / growth[100:151].max()) ** (1 / 250)
    assert rate == pytest.approx(theory.linear_recursion_radius(lrs[1], weights(n)), abs=4e-4)
    assert rate > 1.01


def test_radius_without_delay_is_gradient_descent():
    assert theory.linear_recursion_radius(0.3, [1.0]) == pytest.approx(0.7)
    assert theory.linear_recursion_radius(2.5, [1.0]) == pytest.approx(1.5)
    assert theory.linear_recursion_radius(1.0, [1.0]) == 0.0
