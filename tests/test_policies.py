"""Policies: who starts when, on clocks that a reader can follow, and draws that are fair."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from asgd_lib import METHODS, Method, clusters, policies, simulate
from asgd_lib.policies import Barrier, BroadcastFirst, Greedy, Quorum, RandomAssignment, Rounds, ShuffledAssignment
from asgd_lib.rules import SGD, update_delays

ALL = [
    Greedy(), Quorum(2), Barrier(), BroadcastFirst(Greedy()), BroadcastFirst(Quorum(2)), Rounds(0.5),
    RandomAssignment(), ShuffledAssignment(),
]  # fmt: skip
TIMES = clusters.Fixed((1.0, 2.0, 5.0))


def run(policy, cluster=TIMES, **bounds):
    return simulate(cluster, Method(policy, SGD(0.1)), **bounds)


def rows(trace):
    """(worker, read, start, end) of each arrival."""
    return list(zip(trace.worker.tolist(), trace.read.tolist(), trace.start.tolist(), trace.end.tolist(), strict=True))


def test_greedy():
    # Worker 0 at 1 2 3 ..., worker 1 at 2 4 6, worker 2 at 5; at equal times the older job first (at 2 s: worker 1).
    assert rows(run(Greedy(), arrivals=9)) == [
        (0, 0, 0, 1), (1, 0, 0, 2), (0, 1, 1, 2), (0, 3, 2, 3), (1, 2, 2, 4), (0, 4, 3, 4), (2, 0, 0, 5), (0, 6, 4, 5), (1, 5, 4, 6),
    ]  # fmt: skip


def test_barrier():
    # All start at 0, 5, 10 s with the model of the round's beginning.
    expected = [(w, 3 * r, 5 * r, 5 * r + t) for r in range(3) for w, t in enumerate((1, 2, 5))]
    trace = run(Barrier(), arrivals=9)
    assert rows(trace) == expected
    assert (trace.read % 3 == 0).all()


def test_quorum():
    # Two idle at 2 s: 0 and 1 start (ends 3, 4). Two idle at 4 s: again (5, 6), but at 5 s worker 2's old job comes first,
    # then worker 0's: two idle, 0 and 2 start (6, 10). At 6 s: 1 (older), then 0: idle both, start (7, 8).
    assert rows(run(Quorum(2), arrivals=9)) == [
        (0, 0, 0, 1), (1, 0, 0, 2), (0, 2, 2, 3), (1, 2, 2, 4), (2, 0, 0, 5), (0, 4, 4, 5), (1, 4, 4, 6), (0, 6, 5, 6), (0, 8, 6, 7),
    ]  # fmt: skip


@pytest.mark.parametrize("cluster", [TIMES, clusters.Exponential((1.0, 3.0, 4.0, 9.0))], ids=["fixed", "random"])
def test_quorum_of_one_is_greedy_and_of_all_a_barrier(cluster):
    assert run(Quorum(1), cluster, arrivals=50) == run(Greedy(), cluster, arrivals=50)
    assert run(Quorum(cluster.n), cluster, arrivals=50) == run(Barrier(), cluster, arrivals=50)
    with pytest.raises(ValueError, match=rf"Only {cluster.n} of 50 arrivals .* Quorum\(size=9\) waits for never answer"):
        run(Quorum(9), cluster, arrivals=50)


def test_broadcast_first_waits_once():
    # Until 5 s a barrier; all start there; then worker 0 at 6, both at 7 (older job: 1), ...
    assert rows(run(BroadcastFirst(Greedy()), arrivals=8)) == [
        (0, 0, 0, 1), (1, 0, 0, 2), (2, 0, 0, 5), (0, 3, 5, 6), (1, 3, 5, 7), (0, 4, 6, 7), (0, 6, 7, 8), (1, 5, 7, 9),
    ]  # fmt: skip
    assert run(BroadcastFirst(Barrier()), arrivals=12) == run(Barrier(), arrivals=12)


@pytest.mark.parametrize(("participation", "size"), [(1e-12, 1), (0.05, 1), (0.25, 2), (0.3, 3), (0.5, 4), (0.51, 5), (1.0, 8)])
def test_rounds_draw_without_replacement(participation, size):
    trace = run(Rounds(participation), clusters.Exponential((1.0,) * 8), arrivals=8 + 150 * size)
    assert sorted(trace.worker[:8]) == list(range(8)) and not trace.read[:8].any()
    workers, reads = trace.worker[8:].reshape(150, size), trace.read[8:].reshape(150, size)
    assert all(len(set(chosen)) == size for chosen in workers.tolist())
    assert (reads == 8 + size * np.arange(150)[:, None]).all()  # all of a round read the model at its beginning
    if size < 8:
        assert len({tuple(sorted(chosen)) for chosen in workers.tolist()}) > 5
        assert stats.chisquare(np.bincount(workers.flatten(), minlength=8)).pvalue > 1e-3


def test_round_sizes_do_not_rise_by_rounding():
    # 0.55 * 20 = 11.000000000000002 in binary.
    for participation, size in ((0.55, 11), (1e-12, 1)):
        method = METHODS["mifa"](0.1, participation=participation)
        trace = simulate(clusters.equal(20), method, arrivals=20 + 5 * size)
        assert np.unique(trace.read).tolist() == [20 * (r > 0) + size * max(0, r - 1) for r in range(6)]
        after_first = method.rule.init(torch.empty(0), 20)._replace(full=True)
        assert method.rule.batch_size(after_first) == size
        assert update_delays(trace, method.rule).max() == 0


def test_random_assignment_is_uniform_whatever_the_speeds():
    trace = run(RandomAssignment(), clusters.spread(5, 20.0), arrivals=20_000, seed=1)
    order = np.concatenate([trace.worker, trace.lost["worker"]])[np.argsort(np.concatenate([trace.job, trace.lost["job"]]))]
    assert order[:5].tolist() == list(range(5))  # at the start everybody gets a job
    drawn = order[5:]
    assert stats.chisquare(np.bincount(drawn)).pvalue > 1e-3
    pairs = np.bincount(5 * drawn[:-1:2] + drawn[1::2], minlength=25)
    assert stats.chisquare(pairs).pvalue > 1e-3  # and independent of the one before
    other = run(RandomAssignment(), clusters.spread(5, 20.0), arrivals=100, seed=2)
    assert not np.array_equal(other.worker, trace.worker[:100])


@pytest.mark.parametrize("n", [1, 2, 7])
def test_shuffled_assignment_serves_everybody_once_in_n_jobs(n):
    trace = run(ShuffledAssignment(), clusters.spread(n, 6.0), arrivals=1000, seed=1)
    order = np.concatenate([trace.worker, trace.lost["worker"]])[np.argsort(np.concatenate([trace.job, trace.lost["job"]]))]
    epochs = order[: len(order) // n * n].reshape(-1, n)
    assert (np.sort(epochs, axis=1) == np.arange(n)).all()
    assert epochs[0].tolist() == list(range(n))
    if n > 1:
        assert stats.chisquare(np.bincount(epochs[1:, 0], minlength=n)).pvalue > 1e-3
        assert len({tuple(e) for e in epochs.tolist()}) > (1 if n == 2 else 50)


def test_assignments_do_not_look_at_the_clock():
    """The same seed gives the j-th job to the same worker on every cluster."""
    for policy in (RandomAssignment(), ShuffledAssignment()):
        orders = []
        for cluster in (clusters.equal(4), clusters.spread(4, 9.0)):
            trace = run(policy, cluster, arrivals=3000)
            jobs = np.concatenate([trace.job, trace.lost["job"]])
            orders.append(np.concatenate([trace.worker, trace.lost["worker"]])[np.argsort(jobs)])
        assert np.array_equal(*orders)


@pytest.mark.parametrize("policy", [Quorum(2), Barrier(), BroadcastFirst(Greedy()), Rounds(0.5), Greedy()], ids=repr)
def test_a_lost_job_is_begun_again_by_its_worker(policy):
    lost = policies.Job(id=3, worker=1, read=0, start=0.0, end=2.0, lost=True)
    assert list(policy.react(lost, View())) == [1]


class View:
    """Three workers in the middle of a round."""

    n, seed, arrivals, created, outstanding, k, idle = 3, 0, 1, 4, 2, 0, [0]


def test_policies_never_ask_for_the_update_counter_without_need():
    class Blind(View):
        @property
        def k(self):
            raise AssertionError("asked for k")

    for policy in ALL:
        for lost in (False, True):
            list(policy.react(policies.Job(3, 1, 0, 0.0, 2.0, lost), Blind()))


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_policies_are_values(policy):
    assert pickle.loads(pickle.dumps(policy)) == policy and hash(policy) == hash(pickle.loads(pickle.dumps(policy)))
    assert run(policy, arrivals=40, seed=5) == run(pickle.loads(pickle.dumps(policy)), arrivals=40, seed=5)
    with pytest.raises(AttributeError):
        policy.extra = 1


@pytest.mark.parametrize("size", [0, -1, 1.5, "2", None])
def test_a_senseless_quorum_is_refused(size):
    with pytest.raises(ValueError, match=r"size must be a whole number of at least 1; got .*\."):
        Quorum(size)


@pytest.mark.parametrize("participation", [0.0, -0.5, 1.5, float("nan"), "half"])
def test_a_senseless_participation_is_refused(participation):
    with pytest.raises(ValueError, match=r"participation must be .*; got .*\."):
        Rounds(participation)


def test_the_table_pairs_each_rule_with_the_policy_its_hyperparameters_ask_for():
    expected = {
        "sgd_minibatch": ({}, Barrier()), "asgd": ({}, Greedy()), "asgd_delay_adaptive": ({}, Greedy()), "dude": ({}, Greedy()),
        "asgd_random": ({}, RandomAssignment()), "asgd_shuffled": ({}, ShuffledAssignment()), "fedbuff": ({}, Greedy()),
        "mifa": ({"participation": 0.3}, Rounds(0.3)), "asgd_rescaled": ({}, Greedy()),
    }  # fmt: skip
    assert {name: METHODS[name](0.1, **hyper).policy for name, (hyper, _) in expected.items()} == {k: p for k, (_, p) in expected.items()}
    assert METHODS["dude"](0.1, n_arrivals=3).policy == Quorum(3)
    assert METHODS["dude"](0.1, warm_up="broadcast").policy == BroadcastFirst(Greedy())
    assert METHODS["dude"](0.1, n_arrivals=3, warm_up="broadcast").policy == BroadcastFirst(Quorum(3))
    assert METHODS["dude"](0.1, warm_up="next").policy == Greedy()


def test_a_gate_is_open_where_the_rule_has_none():
    assert rows(run(policies.Gated(), arrivals=60)) == rows(run(Greedy(), arrivals=60))
