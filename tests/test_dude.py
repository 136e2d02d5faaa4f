"""DuDe-ASGD: the aggregate is the table's mean, the warm-ups, and the two delays that gave it its name."""

import numpy as np
import pytest
import torch
from cases import by_hand

from asgd_lib import METHODS, clusters, simulate
from asgd_lib.problems import Quadratic
from asgd_lib.rules import Arrival, DuDe, update_delays


@pytest.mark.parametrize("n_arrivals", [1, 3])
def test_the_aggregate_stays_the_mean_of_the_table(n_arrivals):
    n, arrivals = 7, 100_000 if n_arrivals == 1 else 10_000
    workers = np.random.default_rng(0).integers(n, size=arrivals).tolist()
    gradients = torch.randn(arrivals, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rule = DuDe(1e-3, n_arrivals)
    state = rule.init(torch.zeros(2, dtype=torch.float64), n)
    for worker, gradient in zip(workers, gradients, strict=True):
        state = rule.receive(state, Arrival(gradient, worker, 0, 1.0))
    assert state.k > arrivals / n_arrivals / 3
    last = {w: g for w, g in zip(workers, gradients, strict=True)}
    for w in range(n):
        assert torch.equal(state.table[w], last[w])
    assert (state.g - torch.stack(state.table).mean(0)).abs().max() < 1e-12


def test_continue_goes_on_at_x0_and_steps_with_the_last_first_gradient():
    # Workers of 1, 1 and 3 s: arrivals at 1 1 2 2 3 3 3 4 4 s. At 3 s the oldest job, the third worker's, comes first.
    trace = simulate(clusters.Fixed((1.0, 1.0, 3.0)), METHODS["dude"](0.1), arrivals=9)
    assert trace.worker.tolist() == [0, 1, 0, 1, 2, 0, 1, 0, 1]
    steps = by_hand(trace, METHODS["dude"](0.1), plain(3))
    assert [s.after.k for s in steps] == [0, 0, 0, 0, 1, 2, 3, 4, 5]


def test_next_makes_the_same_trace_and_steps_one_arrival_later():
    trace = simulate(clusters.Fixed((1.0, 1.0, 3.0)), METHODS["dude"](0.1, warm_up="next"), arrivals=9)
    assert trace == simulate(clusters.Fixed((1.0, 1.0, 3.0)), METHODS["dude"](0.1), arrivals=9)
    steps = by_hand(trace, METHODS["dude"](0.1, warm_up="next"), plain(3))
    assert [s.after.k for s in steps] == [0, 0, 0, 0, 0, 1, 2, 3, 4]


def test_broadcast_waits_for_everybody_and_sends_the_first_model_to_all():
    method = METHODS["dude"](0.1, warm_up="broadcast")
    trace = simulate(clusters.Fixed((1.0, 1.0, 3.0)), method, arrivals=9)
    # All begin again at 3 s, with the model after three arrivals: 4 4 5 5 6 6 6 s.
    assert trace.worker.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 0]
    assert trace.start.tolist() == [0, 0, 0, 3, 3, 4, 4, 3, 5]
    assert trace.read.tolist() == [0, 0, 0, 3, 3, 4, 5, 3, 6]
    steps = by_hand(trace, method, plain(3))
    assert [s.after.k for s in steps] == [0, 0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(("n_arrivals", "steps"), [(2, [0, 0, 1, 1, 2, 2, 3]), (3, [0, 0, 1, 1, 1, 2, 2])])
def test_broadcast_with_several_arrivals_a_step(n_arrivals, steps):
    method = METHODS["dude"](0.1, n_arrivals=n_arrivals, warm_up="broadcast")
    trace = simulate(clusters.Fixed((1.0, 2.0, 3.0)), method, arrivals=7)
    assert [s.after.k for s in by_hand(trace, method, plain(3))] == steps


def plain(n):
    """f_i = x^2 / 2: a gradient is the very model at which it was computed."""
    one = torch.ones(n, 1, dtype=torch.float64)
    return Quadratic(one, 0 * one, x0=one[0])


def dual_delays(trace, rule):
    """(K, n) model delays tau and data delays rho after each step of DuDe, from counters alone; fresh means tau = 1, rho = 0.

    At step t the table holds, for worker i, the gradient at w^(t - tau_i) of samples first used in step t - rho_i.
    """
    late = update_delays(trace, rule)
    k, updates = 0, []
    used_at, model = np.zeros(trace.n, int), np.zeros(trace.n, int)  # step that first used the row; update count its model had
    tau, rho = [], []
    seen = set()
    for e, worker in enumerate(trace.worker.tolist()):
        seen.add(worker)
        model[worker], used_at[worker] = k - late[e], k + 1
        if len(seen) == trace.n:
            k += 1
            tau.append(k - model)
            rho.append(k - used_at)
        updates.append(k)
    return np.array(tau), np.array(rho), updates


@pytest.mark.parametrize("cluster", [clusters.equal(4), clusters.Exponential((1.0, 2.0, 3.0, 9.0)), clusters.straggler(4, 7.5)], ids=repr)
def test_the_two_delays_say_which_model_and_which_sample_each_row_holds(cluster):
    method = METHODS["dude"](0.05)
    trace = simulate(cluster, method, arrivals=300, seed=2)
    tau, rho, updates = dual_delays(trace, method.rule)
    steps = by_hand(trace, method, plain(4))
    assert [s.after.k for s in steps] == updates
    models = {s.after.k: s.after.x for s in steps} | {0: torch.ones(1, dtype=torch.float64)}
    made = [s.after for s in steps if s.after.k > s.before.k]
    for t, state in enumerate(made, 1):
        for i in range(4):
            assert torch.equal(state.table[i], models[t - tau[t - 1, i]])
    assert (rho >= 0).all() and (rho < tau).all()
    # Between two arrivals of a worker both grow by one a step.
    stays = np.ones((len(tau) - 1, 4), bool)
    arriving = np.array([w for w, s in zip(trace.worker, steps, strict=True) if s.after.k > s.before.k])
    stays[np.arange(len(tau) - 1), arriving[1:]] = False
    assert (np.diff(tau, axis=0)[stays] == 1).all() and (np.diff(rho, axis=0)[stays] == 1).all()
    assert (rho[np.arange(len(tau)), arriving] == 0).all()


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_equal_speeds_bound_both_delays(n):
    method = METHODS["dude"](0.05)
    tau, rho, _ = dual_delays(simulate(clusters.equal(n), method, arrivals=20 * n), method.rule)
    settled = slice(2 * n, None)  # everybody has read a model after the warm-up
    assert (tau[settled].min(), tau[settled].max()) == (n, 2 * n - 1)
    assert (rho[settled].min(), rho[settled].max()) == (0, n - 1)
