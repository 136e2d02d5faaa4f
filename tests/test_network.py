"""Networks: what a message costs, who pays it, and that nothing but time depends on it."""

import math

import numpy as np
import pytest
import torch
from cases import FIXED, RANDOM, quadratic

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.clusters import Link, Network, Nodes
from asgd_lib.rules import Counter

ASGD, MINIBATCH = METHODS["asgd"](0.1), METHODS["sgd_minibatch"](0.1)


def same_order(one, other):
    return all(np.array_equal(getattr(one, c), getattr(other, c)) for c in ("job", "worker", "read"))


def test_a_message_takes_latency_and_bytes_over_bandwidth():
    assert Link(0.5, 100.0).seconds(50) == 1.0
    assert Link(0.5).seconds(10**12) == 0.5  # infinite bandwidth
    assert Link().seconds(0) == 0.0


def test_transfers_down_and_up_are_added_to_every_job():
    cluster = Network(clusters.Fixed((1.0, 2.0)), up=Link(0.5, 100.0))  # down like up: 2 s a job for 50 bytes
    trace = simulate(cluster, ASGD, arrivals=7, message_bytes=50)
    assert trace.worker.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert trace.start.tolist() == [0, 0, 3, 4, 6, 8, 9]
    assert trace.end.tolist() == [3, 4, 6, 8, 9, 12, 12]
    assert trace.read.tolist() == [0, 0, 1, 2, 3, 4, 5]


def test_the_two_directions_may_differ():
    cluster = Network(clusters.Fixed((1.0,)), up=Link(0.25), down=Link(bandwidth=10.0))
    assert cluster.transfer(0, 20) == 2.25
    assert simulate(cluster, ASGD, arrivals=3, message_bytes=20).end.tolist() == [3.25, 6.5, 9.75]
    assert Network(FIXED, up=Link(1.0), down=Link(3.0)) != Network(FIXED, up=Link(3.0), down=Link(1.0))


def test_every_worker_may_have_a_link_of_its_own():
    cluster = Network(clusters.Fixed((1.0, 1.0)), up=[Link(), Link(3.0)])
    trace = simulate(cluster, ASGD, arrivals=8, message_bytes=8)
    assert trace.worker.tolist() == [0, 0, 0, 0, 0, 0, 1, 0]  # at 7 s the older job comes first
    assert trace.end.tolist() == [1, 2, 3, 4, 5, 6, 7, 7]
    down = Network(clusters.Fixed((1.0, 1.0)), up=Link(1.0), down=(Link(2.0), Link(4.0)))
    assert [down.transfer(i, 8) for i in (0, 1)] == [3.0, 5.0]


def test_a_barrier_waits_for_the_slowest_link():
    cluster = Network(clusters.Fixed((1.0, 2.0)), up=[Link(4.0), Link()])
    assert simulate(cluster, MINIBATCH, arrivals=4, message_bytes=1).end.tolist() == [2, 9, 11, 18]


@pytest.mark.parametrize(
    ("name", "hyper", "ends"),
    [
        ("local_sgd", {"local_steps": 3}, [1, 2, 5, 6, 7, 10]),
        ("local_sgd", {"local_steps": 1}, [3, 6, 9]),
        ("hogwild_local", {"samples": 1}, [3, 4, 7, 8, 9, 12]),  # rounds of 1, 2, 3 gradients
        ("hogwild_local", {"samples": 2, "growth": "constant"}, [1, 4, 5, 8]),
    ],
)
def test_local_methods_pay_only_for_the_gradients_that_end_a_round(name, hyper, ends):
    cluster = Network(clusters.Fixed((1.0,)), up=Link(1.0))  # 2 s a message
    assert simulate(cluster, METHODS[name](0.1, **hyper), arrivals=len(ends), message_bytes=8).end.tolist() == ends


def test_local_methods_of_several_workers_pay_once_a_round_each():
    method, cluster = METHODS["hogwild_local"](0.1, samples=4, gap=2), Network(RANDOM, up=Link(0.125, 64.0))
    trace = simulate(cluster, method, arrivals=200, seed=4, message_bytes=24)
    bare = RANDOM.clock(4)
    sizes, done, index = [], [0] * 4, [0] * 4
    for e in np.argsort(trace.start, kind="stable"):
        worker = int(trace.worker[e])
        seconds = trace.end[e] - trace.start[e] - bare(worker, index[worker], trace.start[e])[0]
        index[worker] += 1
        done[worker] += 1
        if seconds > 0.5:
            assert seconds == pytest.approx(1.0, abs=1e-9)  # 2 (0.125 + 24 / 64)
            sizes.append((worker, done[worker]))
            done[worker] = 0
        else:
            assert seconds == pytest.approx(0.0, abs=1e-9)
    for worker in range(4):
        own = [size for w, size in sizes if w == worker]
        assert own == list(range(1, len(own) + 1)) and len(own) > 2  # s_i = 4 (i + 1), a quarter each


@pytest.mark.parametrize("name", ["asgd", "sgd_minibatch", "asgd_random", "hogwild_local"])
def test_a_free_network_is_no_network(name):
    method = METHODS[name](0.1)
    assert simulate(Network(RANDOM), method, arrivals=100, seed=2, message_bytes=10**9) == simulate(RANDOM, method, arrivals=100, seed=2)
    assert simulate(Nodes(RANDOM, 2), method, arrivals=100, seed=2, message_bytes=10**9) == simulate(RANDOM, method, arrivals=100, seed=2)


def test_compute_times_meet_the_same_luck_behind_a_network():
    bare, slow = (
        simulate(c, ASGD, arrivals=80, seed=9, **more) for c, more in [(RANDOM, {}), (Network(RANDOM, Link(2.0)), {"message_bytes": 8})]
    )
    for worker in range(4):
        one, other = ((t.end - t.start)[t.worker == worker] for t in (bare, slow))
        shared = min(len(one), len(other))
        assert shared > 3
        np.testing.assert_allclose(other[:shared], one[:shared] + 4.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("cluster", "name", "hyper"),
    [
        (RANDOM, "sgd_minibatch", {}),
        (clusters.equal(4), "local_sgd", {"local_steps": 3}),
        (clusters.equal(4), "hogwild_local", {"samples": 12, "growth": "constant"}),
        (clusters.equal(4), "asgd", {}),
        (clusters.equal(4), "ormo", {}),
    ],
)
def test_a_network_ten_times_slower_changes_times_and_nothing_else(cluster, name, hyper):
    method, problem = METHODS[name](0.1, **hyper), quadratic(sigma=1.0)
    fast, slow = (
        simulate(Network(cluster, Link(s * 0.25, 400.0 / s)), method, arrivals=96, seed=1, message_bytes=problem.x0.nbytes) for s in (1, 10)
    )
    assert same_order(fast, slow) and (slow.end >= fast.end).all()
    one, other = (replay(trace, method, problem, every=24) for trace in (fast, slow))
    assert torch.equal(one.attrs["x"], other.attrs["x"])
    assert one.drop(columns="time").equals(other.drop(columns="time"))
    # 40 bytes: 2 (0.25 + 0.1) s a message and ten times that; each round or each gradient of a worker pays it once.
    paid = {"sgd_minibatch": 24, "local_sgd": 8, "hogwild_local": 8, "asgd": 24, "ormo": 24}[name]
    assert slow.end[-1] - fast.end[-1] == pytest.approx(paid * 0.7 * 9, rel=1e-12)


def test_a_slower_network_may_change_who_comes_first():
    one, other = (simulate(Network(FIXED, Link(s)), ASGD, arrivals=60, message_bytes=8) for s in (0.0, 5.0))
    assert not same_order(one, other)  # speeds become alike: that is no fault


def test_a_rule_that_measures_seconds_sees_the_transfers():
    method = METHODS["asgd_rescaled"](0.1)
    trace = simulate(Network(clusters.equal(2), [Link(), Link(1.0)]), method, arrivals=40, message_bytes=8)
    counter = Counter(method.rule, 2)
    for row in zip(trace.worker.tolist(), trace.read.tolist(), (trace.end - trace.start).tolist(), strict=True):
        counter.receive(*row)
    assert [s / c for s, c in zip(counter.state.seconds, counter.state.count, strict=True)] == [1.0, 3.0]


# Nodes


def test_messages_of_nodes_cross_two_links():
    cluster = Nodes(clusters.equal(6), 2, local=Link(0.25, 8.0), between=Link(0.5, 4.0))
    assert (cluster.n, cluster.nodes, [cluster.node(w) for w in range(6)]) == (6, 3, [0, 0, 1, 1, 2, 2])
    assert cluster.transfer(5, 4) == 2 * (0.75 + 1.5)
    assert simulate(cluster, MINIBATCH, arrivals=12, message_bytes=4).end.tolist() == [5.5] * 6 + [11.0] * 6


@pytest.mark.parametrize("per_node", [4, 5, 12])
def test_nodes_must_be_full(per_node):
    with pytest.raises(ValueError, match=f"6 workers do not fill nodes of {per_node}; choose a divisor"):
        Nodes(clusters.equal(6), per_node)


@pytest.mark.parametrize("per_node", [0, 1.5, "2"])
def test_senseless_nodes_are_refused(per_node):
    with pytest.raises(ValueError, match="per_node must be a whole number of at least 1"):
        Nodes(clusters.equal(6), per_node)


# Sentences


def test_the_size_of_a_message_must_be_said():
    with pytest.raises(ValueError, match=r"has a network: say how large a message is, message_bytes=problem.x0.nbytes"):
        simulate(Network(FIXED), ASGD, arrivals=5)
    with pytest.raises(ValueError, match="message_bytes needs a cluster with a network: clusters.Network"):
        simulate(FIXED, ASGD, arrivals=5, message_bytes=8)


@pytest.mark.parametrize("size", [-1, math.nan, math.inf, "8"])
def test_a_senseless_size_of_a_message_is_refused(size):
    with pytest.raises(ValueError, match="message_bytes must be a (finite )?number"):
        simulate(Network(FIXED), ASGD, arrivals=5, message_bytes=size)


def test_the_trace_remembers_the_size_of_its_messages():
    trace = simulate(Network(FIXED, Link(1.0)), ASGD, arrivals=5, message_bytes=40)
    assert trace.meta["message_bytes"] == "40" and "latency=1.0" in trace.meta["cluster"]
    assert "message_bytes" not in simulate(FIXED, ASGD, arrivals=5).meta


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ({"latency": -1.0}, "latency must be a finite number of at least 0; got -1.0"),
        ({"latency": math.inf}, "latency must be a finite number of at least 0"),
        ({"bandwidth": 0.0}, "bandwidth must be a finite number above 0; got 0.0"),
        ({"bandwidth": -math.inf}, "bandwidth must be a finite number above 0"),
        ({"bandwidth": math.nan}, "bandwidth must be a finite number above 0"),
        ({"bandwidth": None}, "bandwidth must be a finite number above 0; got None"),
    ],
)
def test_a_senseless_link_is_refused(link, says):
    with pytest.raises(ValueError, match=says):
        Link(**link)


@pytest.mark.parametrize("links", [[Link()] * 3, [], [Link()] * 3 + [1.0], 1.0, "abcd"])
@pytest.mark.parametrize("name", ["up", "down"])
def test_links_must_fit_the_workers(name, links):
    with pytest.raises(ValueError, match=f"{name} must be one Link, or one for each of the 4 workers; got"):
        Network(FIXED, **{name: links})


@pytest.mark.parametrize("network", [Network(FIXED, Link(1.0)), Nodes(FIXED, 2, between=Link(1.0))])
def test_a_network_within_another_cluster_is_refused(network):
    # Its messages would take no time, and nobody would be told.
    for wrap in (lambda base: clusters.Dropout(base, 9.0, 1.0), Network, lambda base: Nodes(base, 2)):
        with pytest.raises(ValueError, match=r"must have no network .* put the network around it all; got (Network|Nodes)"):
            wrap(network)
