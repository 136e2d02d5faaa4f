"""Equal methods of the field give equal bits, or what their formulas say where the sums are in another order."""

import pytest
import torch
from cases import FIXED, RANDOM, by_hand, quadratic
from test_identities import ASGD, LR, MINIBATCH, assert_same, outcome

from asgd_lib import METHODS, clusters, simulate


@pytest.mark.parametrize("cluster", [FIXED, RANDOM, clusters.equal(4)], ids=["fixed", "random", "equal"])
@pytest.mark.parametrize("name", ["k_async", "k_sync"])
def test_the_first_k_of_k_are_minibatch_sgd(cluster, name):
    assert_same(cluster, (name, {"k": 4}), MINIBATCH)


@pytest.mark.parametrize("name", ["k_async", "k_sync"])
@pytest.mark.parametrize(("n", "half"), [(4, 2), (5, 3)])
def test_k_is_half_of_the_workers_rounded_up(name, n, half):
    cluster = clusters.Exponential((1.0,) * n)
    assert_same(cluster, (name, {}), (name, {"k": half}))


def test_rules_for_late_gradients_are_asgd_where_nobody_is_late():
    """Equal speeds: every delay is n - 1, or less at the beginning."""
    cluster = clusters.equal(5)
    for stop in (False, True):
        assert_same(cluster, ("ringmaster", {"threshold": 5, "stop": stop}), ASGD)
        assert not torch.equal(outcome(cluster, "ringmaster", threshold=4, stop=stop)[1], outcome(cluster, "asgd")[1])


@pytest.mark.parametrize("n", [1, 2, 5])
def test_malenia_at_equal_speeds_steps_in_every_other_round(n):
    """Whoever did not complete the batch computes on the old model meanwhile; then everybody's next gradient is fresh: 2 n - 1 arrivals."""
    method = METHODS["malenia"](LR)
    steps = by_hand(simulate(clusters.equal(n), method, arrivals=12 * n), method, quadratic(n))
    assert [step.after.k for step in steps] == [(e - n) // (2 * n - 1) + 1 for e in range(1, 12 * n + 1)]
    _, x, _ = outcome(clusters.equal(n), "malenia", arrivals=n)
    torch.testing.assert_close(x, outcome(clusters.equal(n), "sgd_minibatch", arrivals=n)[1], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("cluster", [FIXED, RANDOM], ids=["fixed", "random"])
def test_aced_without_a_limit_is_dude_but_for_rounding(cluster):
    (trace, x, updates), (other, y, same) = outcome(cluster, "aced"), outcome(cluster, "dude")
    assert trace == other and updates == same
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


def test_ca2fl_with_everybody_in_every_buffer_is_their_mean_but_for_rounding():
    """v = h + (1/n) sum_i (g_i - h_i) = (1/n) sum_i g_i: the cache drops out."""
    _, x, updates = outcome(clusters.equal(4), "ca2fl", buffer=4)
    _, y, same = outcome(clusters.equal(4), "fedbuff", buffer=4)
    assert updates == same
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


def test_fedasync_without_mixing_keeps_the_workers_own_path():
    """Mixing 1 and power 0: the server takes over each worker's model, which is that worker's own SGD."""
    _, x, _ = outcome(clusters.Fixed((3.0,)), "fedasync", mixing=1.0, power=0.0)
    torch.testing.assert_close(x, outcome(clusters.Fixed((3.0,)), "asgd")[1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_malenia_is_rennala_on_one_worker(batch):
    assert_same(clusters.Exponential((3.0,)), ("malenia", {"batch": batch}), ("rennala", {"batch": batch}))
    assert_same(clusters.Exponential((3.0,)), ("rennala", {"batch": batch}), ("fedbuff", {"buffer": batch}))
