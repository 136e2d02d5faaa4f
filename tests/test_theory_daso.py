"""DASO's formulas against recursions, simulated clocks and the rule itself."""

import numpy as np
import pytest
import torch
from cases import by_hand, quadratic

from asgd_lib import METHODS, clusters, replay, simulate, theory
from asgd_lib.clusters import Link, Network, Nodes
from asgd_lib.problems import Quadratic
from asgd_lib.rules import numbers_written
from asgd_lib.rules.daso import to_bfloat16

DASO = METHODS["daso"]


def test_reference_values_of_the_efficiency():
    assert [theory.daso_efficiency(4, 1, P) for P in (4, 16, 64)] == pytest.approx([5 / 6, 0.778, 0.758], abs=5e-4)
    assert [theory.daso_efficiency(8, 2, P) for P in (4, 16, 64)] == pytest.approx([0.875, 0.8, 0.765], abs=5e-4)
    assert [theory.daso_efficiency(1, 1, P) for P in (4, 16, 64)] == pytest.approx([0.6, 0.529, 0.508], abs=5e-4)
    assert [theory.daso_efficiency(2, 1, P) for P in (4, 16, 64)] == pytest.approx([2 / 3, 0.556, 0.515], abs=5e-4)
    assert theory.daso_efficiency(2, 1, 4, next_sum=True) == pytest.approx(0.6)
    assert theory.daso_efficiency(4, 0, 4) == 1.0 and theory.daso_own_weight(0, 4) == 0.0
    assert theory.daso_efficiency(8, 2, 10**9) == pytest.approx((8 - 2) / 8)


@pytest.mark.parametrize("wait", range(1, 5))
@pytest.mark.parametrize("nodes", [1, 2, 7])
def test_efficiency_is_that_of_the_recursion(wait, nodes):
    skip, a, x, sent = 4, theory.daso_own_weight(wait, nodes), 0.0, None
    for batch in range(4000):
        x += 1.0
        if batch % skip == 0:
            before, sent = sent, x
        if batch % skip == wait % skip and batch >= wait:
            x = a * x + (1 - a) * (before if wait == skip else sent)
    assert x / 4000 == pytest.approx(theory.daso_efficiency(skip, wait, nodes), rel=2e-3)


@pytest.mark.parametrize(("skip", "wait"), [(4, 1), (4, 2), (4, 4), (3, 3), (1, 1)])
@pytest.mark.parametrize(("nodes", "momentum"), [(1, 0.0), (4, 0.0), (4, 0.9)])
def test_the_critical_step_is_that_of_the_rule(skip, wait, nodes, momentum):
    b = torch.linspace(-1, 1, nodes).view(-1, 1) * 1e-3  # nodes that differ, about a mean of 0
    problem = Quadratic(torch.ones(nodes, 1), b if nodes > 1 else 0 * b, x0=torch.ones(1))
    step = theory.daso_critical_step(1.0, skip, wait, nodes, momentum)
    growth = []
    for factor in (0.96, 1.04):
        method = DASO(step * factor, skip=skip, wait=wait, momentum=momentum)
        steps = by_hand(simulate(clusters.equal(nodes), method, arrivals=nodes * skip * 160), method, problem)
        far = torch.tensor([max(node.models[0].abs().item() for node in s.after.nodes) for s in steps[:: nodes * skip]])
        growth.append((far[120:].max() / far[80:120].max()).item())
    assert growth[0] < 1.005 < 1.01 < growth[1]  # where it has shrunk to the spread of the minimisers, it stays
    assert momentum or step >= 2.0 - 1e-9
    assert theory.daso_critical_step(4.0, skip, wait, nodes, momentum) == pytest.approx(step / 4)


@pytest.mark.parametrize("momentum", [0.9, 0.99, 0.999, 0.9999])
def test_the_critical_step_is_found_however_near_the_momentum_is_to_1(momentum):
    step = theory.daso_critical_step(1.0, 1, 1, 16, momentum)
    for factor, stable in ((0.01, True), (0.3, True), (0.9999, True), (1.0001, False)):
        largest = max(theory.daso_multiplier(factor * step, 1, 1, 16, momentum, differences=mode) for mode in (False, True))
        assert (largest <= 1) == stable, factor


@pytest.mark.parametrize(("skip", "wait"), [(1, 0), (4, 0), (2, 0)])
def test_blocking_has_the_critical_step_of_heavy_ball(skip, wait):
    for momentum in (0.0, 0.5, 0.9):
        step = theory.daso_critical_step(1.0, skip, wait, 4, momentum, differences=False)
        assert step == pytest.approx(2 * (1 + momentum), rel=1e-6)


@pytest.mark.parametrize(("skip", "wait"), [(4, 1), (8, 3), (2, 2), (1, 1)])
def test_the_multiplier_is_that_of_the_rule(skip, wait):
    problem = Quadratic(torch.ones(4, 1), torch.zeros(4, 1), x0=torch.ones(1))
    method = DASO(0.05, skip=skip, wait=wait)
    trace = simulate(clusters.equal(4), method, arrivals=4 * skip * 80)
    x = replay(trace, method, problem, every=4 * skip * 40).attrs["x"].item()
    half = replay(trace, method, problem, every=4 * skip * 40, arrivals=4 * skip * 40).attrs["x"].item()
    assert (x / half) ** (1 / 40) == pytest.approx(theory.daso_multiplier(0.05, skip, wait, 4), rel=1e-9)


def test_bfloat16_errs_by_no_more_than_its_roundoff():
    x = torch.exp(torch.randn(200_000, dtype=torch.float64))
    error = ((to_bfloat16(x) - x) / x).abs()
    assert theory.BFLOAT16_ROUNDOFF * 0.98 < error.max() <= theory.BFLOAT16_ROUNDOFF
    # Half a unit in the last place is 2^-8 / m for a mantissa m, evenly met; and E 1/m = 1 / (2 ln 2) where log m is even.
    assert error.mean().item() == pytest.approx(2**-9 / (2 * np.log(2)), rel=0.01)


@pytest.mark.parametrize(("skip", "wait"), [(1, 0), (4, 1), (8, 2), (1, 1)])
def test_bytes_are_those_of_the_history(skip, wait):
    problem, method = quadratic(8), DASO(0.1, per_node=2, skip=skip, wait=wait)
    history = replay(simulate(clusters.equal(8), method, arrivals=8 * 30), method, problem, every=240)
    assert history["bytes"].iloc[-1] == theory.daso_bytes(30, skip, 4, 40)
    assert theory.daso_bytes(30, skip, 4, 40, share=0.5) == history["bytes"].iloc[-1] / 2
    assert theory.flat_ring_bytes(30, 4, 2, 40) == 30 * 4 * 2 * 7 / 8 * 40
    assert theory.flat_ring_bytes(30, 1, 8, 40) == theory.daso_bytes(30, 1, 1, 40) == 0


# Clocks: a gradient takes 1 s, an all-reduce in the node 0.1 s, one between nodes 1.5 s, a broadcast in the node 0.1 s.
CLUSTER = Nodes(clusters.equal(8), 2, local=Link(bandwidth=100.0), between=Link(bandwidth=10.0))


def test_collectives_of_nodes_are_rings():
    assert (CLUSTER.inside(10), CLUSTER.all_reduce(10), CLUSTER.broadcast(10)) == pytest.approx((0.1, 1.5, 0.1))
    late = Nodes(clusters.equal(8), 4, local=Link(0.5), between=Link(0.25))
    assert (late.inside(10), late.all_reduce(10), late.broadcast(10)) == (3.0, 0.5, 1.5)
    alone = Nodes(clusters.equal(3), 1, local=Link(9.0), between=Link(0.25, 8.0))
    assert (alone.inside(6), alone.all_reduce(6), alone.broadcast(6)) == (0.0, 4 * (0.25 + 0.25), 0.0)
    flat = Network(clusters.equal(2), [Link(), Link(1.0, 4.0)])
    assert (flat.inside(8), flat.all_reduce(8), flat.broadcast(8)) == (0.0, 2 * (1.0 + 1.0), 0.0)


@pytest.mark.parametrize(
    ("hyper", "ends"),
    [
        ({"skip": 0, "wait": 0}, [1.1, 3.8, 6.5, 9.2]),  # 1.5 + 0.1 + 1 + 0.1 each
        ({"skip": 0, "wait": 0, "compress": True}, [1.1, 3.05, 5.0, 6.95]),
        ({"skip": 4, "wait": 1}, [1.1, 2.2, 3.8, 4.9, 6.0, 7.1, 8.7]),  # the sum is there at 2.6, the broadcast at 2.7
        ({"skip": 4, "wait": 2}, [1.1, 2.2, 3.3, 4.5, 5.6, 6.7, 7.8, 9.0]),  # hidden, but for the broadcast
        ({"skip": 1, "wait": 1}, [1.1, 2.2, 3.8, 5.3, 6.8]),  # sums end at 2.6, 4.1, 5.6: the link is never idle
        ({"skip": 3, "wait": 1, "per_node": 2}, [1.1, 2.2, 3.8, 4.9, 6.0, 7.6]),
    ],
)
def test_clocks_worked_out_by_hand(hyper, ends):
    method = DASO(0.1, **{"per_node": 2} | hyper)
    trace = simulate(CLUSTER, method, arrivals=8 * len(ends), message_bytes=10)
    assert trace.end[::8].tolist() == pytest.approx(ends) == trace.end[7::8].tolist()


def test_a_collective_begins_with_its_last_sender():
    cluster = Nodes(clusters.Fixed((1.0, 1.0, 3.0, 3.0)), 2, between=Link(0.25))  # two nodes: 0.5 s a sum
    trace = simulate(cluster, DASO(0.1, per_node=2, skip=4, wait=1), until=12.0, message_bytes=8)
    # Node 0 has sent after 1 s, computes until 2 s, and waits for node 1, which sends after 3 s; the sum is there at 3.5 s. Node 1 sends
    # again after 15 s.
    assert trace.end[trace.worker == 0].tolist() == [1, 2, 4.5, 5.5, 6.5, 7.5]
    assert trace.end[trace.worker == 2].tolist() == [3, 6, 9, 12]


@pytest.mark.parametrize(("skip", "wait"), [(1, 0), (4, 0), (4, 1), (8, 1), (8, 2), (4, 2), (4, 4), (1, 1), (2, 2)])
@pytest.mark.parametrize("bandwidth", [2.0, 10.0, 100.0])
def test_the_time_of_a_batch_is_that_of_the_simulated_clock(skip, wait, bandwidth):
    cluster = Nodes(clusters.equal(8), 2, local=Link(0.01, 200.0), between=Link(0.02, bandwidth))
    method, cycles = DASO(0.1, per_node=2, skip=skip, wait=wait), 40
    trace = simulate(cluster, method, arrivals=8 * (2 * cycles * skip + 1), message_bytes=10)
    batch_ends = trace.end[7::8]
    measured = (batch_ends[2 * cycles * skip] - batch_ends[cycles * skip]) / (cycles * skip)
    t = 1.0 + cluster.inside(10)
    assert measured == pytest.approx(theory.daso_batch_time(t, cluster.all_reduce(10), cluster.broadcast(10), skip, wait), rel=1e-9)


def test_saving_and_share_are_inverse():
    for blocking, compressed in ((0.0, False), (0.25, False), (0.25, True)):
        share = theory.daso_share_for(0.3, blocking, compressed=compressed)
        assert theory.daso_saving(share, blocking, compressed=compressed) == pytest.approx(0.3)
    assert theory.daso_saving(0.4) == pytest.approx(0.4)  # all of it hidden behind one batch
    assert theory.daso_saving(0.4, 0.5) == pytest.approx(0.2)
    assert theory.daso_saving(0.4, 0.5, compressed=True) == pytest.approx(0.3)
    assert theory.daso_saving(0.6, skip=4) == pytest.approx(1 - 0.4 - 0.2 / 4)  # 0.2 s of 0.6 s stick out, every fourth batch
    with pytest.raises(ValueError, match="No share of communication lets B = 4, W = 1 save 0.9"):
        theory.daso_share_for(0.9)


@pytest.mark.parametrize(("skip", "wait"), [(1, 1), (4, 4), (4, 3), (4, 0)])
@pytest.mark.parametrize(("blocking", "compressed"), [(0.0, False), (0.5, True), (0.9, True)])
def test_the_share_is_the_least_that_saves_so_much(skip, wait, blocking, compressed):
    settings = {"blocking": blocking, "compressed": compressed, "skip": skip, "wait": wait}
    shares = np.linspace(0, 1, 2000, endpoint=False)
    saved = np.array([theory.daso_saving(share, **settings) for share in shares])
    for goal in np.array([0.2, 0.9, 0.999]) * saved.max():  # where W = B, the saving may fall again behind the greatest
        assert theory.daso_share_for(goal, **settings) == pytest.approx(shares[(saved >= goal).argmax()], abs=1 / 1999)


def test_bytes_need_sizes_that_there_can_be():
    for call, words in (
        (lambda: theory.daso_bytes(10, 2, 4, 1.0, share=-0.5), r"share must be in \[0, 1\]; got -0.5"),
        (lambda: theory.flat_ring_bytes(10, 2, 4, -1.0), "model_bytes must be a finite number of at least 0; got -1.0"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_method_and_cluster_must_have_the_same_nodes():
    with pytest.raises(ValueError, match="has 1 workers a node and the cluster 2: say per_node=2"):
        simulate(CLUSTER, DASO(0.1), arrivals=5, message_bytes=8)


def test_a_free_network_costs_daso_nothing():
    method, cluster = DASO(0.1, per_node=2), clusters.Exponential((1.0, 2.0, 3.0, 4.0))
    assert simulate(Nodes(cluster, 2), method, arrivals=200, message_bytes=10**9) == simulate(cluster, method, arrivals=200)


def test_the_network_changes_the_clock_and_not_the_models():
    problem, method = quadratic(8), DASO(0.1, per_node=2)
    models = []
    for bandwidth in (1.0, 1000.0):
        cluster = Nodes(clusters.equal(8), 2, between=Link(0.1, bandwidth))
        models.append(replay(simulate(cluster, method, arrivals=8 * 50, message_bytes=40), method, problem).attrs["x"])
    torch.testing.assert_close(*models, rtol=1e-12, atol=1e-13)


def test_an_arrival_costs_a_node_no_more_than_its_own_work():
    problem, method = quadratic(8, 1000), DASO(0.1, per_node=2)
    trace = simulate(clusters.equal(8), method, arrivals=8 * 16)
    steps = by_hand(trace, method, problem)
    written = sum(numbers_written(method.rule.receive, step.before, step.arrival)[1] for step in steps[64:])
    # 64 arrivals: d for the share of each, 3 d for the sum and the step of 32 batches, and 4 sends and merges a node of 1 and 3 d.
    assert written / 1000 < 64 + 32 * 3 + 8 * 5
