"""The event loop: order, bounds, queues, losses, silence, and policies that count updates."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import CASES, every_method

from asgd_lib import METHODS, Method, clusters, rules, simulate, simulator
from asgd_lib.policies import Greedy

ASGD = METHODS["asgd"](0.1)
TIMES = clusters.Fixed((1.0, 2.0, 5.0))


@dataclass(frozen=True)
class Script:
    """A cluster that answers job `index` of `worker` with `table[worker][index]`: seconds, or (seconds, delivered)."""

    table: tuple

    @property
    def n(self):
        return len(self.table)

    def clock(self, seed):
        def job(worker, index, start):
            answer = self.table[worker][index]
            return answer if isinstance(answer, tuple) else (float(answer), True)

        return job


def test_equal_times_are_served_in_the_order_of_creation():
    # All three end at 6 s; jobs 0 1 2 were begun in that order, and so they arrive; job 3 is worker 0's next.
    trace = simulate(Script(((6, 1), (6, 1), (6, 1))), ASGD, arrivals=3)
    assert trace.job.tolist() == [0, 1, 2]
    # Worker 0: 1 2 3 s (jobs 0, 3, 4); worker 1: 3 s (job 1); worker 2: 2, 3 s (jobs 2, 5?). At 2 s: job 2, then job 3; they beget 4 and 5.
    trace = simulate(Script(((1, 1, 1, 9), (3, 9), (2, 1, 9))), ASGD, arrivals=6)
    assert trace.end.tolist() == [1, 2, 2, 3, 3, 3]
    assert trace.job.tolist() == [0, 2, 3, 1, 4, 5]
    assert trace.worker.tolist() == [0, 2, 0, 1, 2, 0]


def test_a_job_reads_the_model_of_the_moment_it_is_handed_out():
    trace = simulate(Script(((3, 1, 1), (4, 9))), ASGD, arrivals=3)
    # 3 s: arrival 0 (worker 0), its next job reads 1. 4 s: worker 1 (older), then worker 0 again: read 1, start 3.
    assert trace.frame()[["worker", "read", "start", "end"]].values.tolist() == [[0, 0, 0, 3], [1, 0, 0, 4], [0, 1, 3, 4]]
    assert trace.delays.tolist() == [0, 1, 1]


def test_bounds_by_arrivals_and_by_seconds():
    assert len(simulate(TIMES, ASGD, arrivals=17)) == 17
    timed = simulate(TIMES, ASGD, until=10.0)  # 10 + 5 + 2: what ends at the bound itself still counts
    assert len(timed) == 17 and timed.end[-1] == 10.0
    assert len(simulate(TIMES, ASGD, arrivals=5, until=10.0)) == 5
    assert len(simulate(TIMES, ASGD, arrivals=500, until=10.0)) == 17
    assert len(simulate(TIMES, ASGD, until=0.5)) == len(simulate(TIMES, ASGD, until=0)) == 0
    assert np.isinf(timed.lost["end"]).all() and sorted(timed.lost["worker"]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ({}, "Say how long to simulate: arrivals=20_000, or until=3600.0"),
        ({"arrivals": 0}, "arrivals must be a whole number of at least 1; got 0"),
        ({"arrivals": -3}, "arrivals must be a whole number"),
        ({"arrivals": 2.5}, "arrivals must be a whole number"),
        ({"arrivals": True}, "arrivals must be a whole number"),
        ({"until": float("nan")}, "until must be a finite number of at least 0"),
        ({"until": -1.0}, "until must be"),
        ({"until": "noon"}, "until must be"),
        ({"arrivals": 5, "seed": -1}, "seed must be a whole number of at least 0"),
        ({"arrivals": 5, "seed": 0.5}, "seed must be a whole number"),
        ({"arrivals": 5, "seed": 2**63}, "seed must be a whole number of at least 0 and at most"),
    ],
)
def test_senseless_bounds_are_refused(bounds, says):
    with pytest.raises(ValueError, match=says):
        simulate(TIMES, ASGD, **bounds)


def test_a_busy_worker_queues_jobs_first_in_first_out():
    for name in ("asgd_random", "asgd_shuffled"):
        trace = simulate(clusters.Exponential((1.0, 2.0, 9.0)), METHODS[name](0.1), arrivals=800, seed=3)
        waited = 0
        for _, rows in trace.frame().sort_values("job").groupby("worker"):
            start, end, read = (rows[c].to_numpy() for c in ("start", "end", "read"))
            assert (np.diff(end) > 0).all()  # served in the order handed out ...
            assert (start[1:] >= end[:-1]).all()  # ... one at a time ...
            handed_out = np.concatenate([[0.0], trace.end])[read]
            np.testing.assert_array_equal(start[1:], np.maximum(end[:-1], handed_out[1:]))  # ... without a pause
            waited += (start > handed_out).sum()
        assert waited > 200
        assert (np.diff(np.sort(trace.job)) >= 1).all()


def test_each_arrival_hands_out_one_job_with_the_newest_model():
    for name in ("asgd", "asgd_random", "asgd_shuffled"):
        trace = simulate(clusters.Exponential((1.0, 2.0, 9.0)), METHODS[name](0.1), arrivals=300, seed=3)
        order = np.argsort(np.concatenate([trace.job, trace.lost["job"]]))
        assert np.concatenate([trace.read, trace.lost["read"]])[order].tolist() == [0, 0, *range(301)]


def test_a_lost_job_is_told_when_it_is_lost_and_begun_again():
    # Worker 0 loses its first job at 2 s and its second at 3 s, then delivers at 5 s; worker 1 delivers at 1, 2 and 6 s.
    cluster = Script((((2.0, False), (1.0, False), 2, 9), (1, 1, 4, 9)))
    trace = simulate(cluster, ASGD, arrivals=4)
    assert trace.frame()[["job", "worker", "read", "start", "end"]].values.tolist() == [
        [1, 1, 0, 0, 1], [2, 1, 1, 1, 2], [5, 0, 2, 3, 5], [4, 1, 2, 2, 6],
    ]  # fmt: skip
    assert trace.lost[:2].tolist() == [(0, 0, 0, 0.0, 2.0), (3, 0, 1, 2.0, 3.0)]
    assert trace.in_flight["job"].tolist() == [6, 7]


def test_a_worker_that_never_answers_stops_a_barrier_in_a_sentence():
    cluster = Script(((1, 1, 1, 1, 1), ((float("inf"), False),)))
    with pytest.raises(ValueError, match=r"^Only 1 of 9 arrivals can happen: the workers that Barrier\(\) waits for never answer\. Ask"):
        simulate(cluster, METHODS["sgd_minibatch"](0.1), arrivals=9)
    trace = simulate(cluster, METHODS["sgd_minibatch"](0.1), until=50.0)
    assert len(trace) == 1 and trace.in_flight["worker"].tolist() == [1]
    assert simulate(cluster, METHODS["sgd_minibatch"](0.1), arrivals=9, until=50.0) == trace
    assert simulate(cluster, ASGD, arrivals=4).worker.tolist() == [0] * 4  # greedy goes on with the others


def test_workers_that_lose_every_job_end_in_the_same_sentence(monkeypatch):
    monkeypatch.setattr(simulator, "_PATIENCE", 500)
    cluster = clusters.Dropout(clusters.Fixed((1000.0, 1000.0)), up=1.0, down=1.0)
    with pytest.raises(ValueError, match="Only 0 of 3 arrivals can happen"):
        simulate(cluster, ASGD, arrivals=3)
    assert len(simulate(cluster, ASGD, until=5000.0).lost) > 1000  # with a bound in seconds everything is told


@pytest.mark.parametrize("worker", [-1, 3])
def test_a_policy_that_names_nobody_is_told(worker):
    class Lost:
        def react(self, job, view):
            return (worker,)

    with pytest.raises(ValueError, match=rf"named worker {worker}; the workers are numbered 0\.\.2\."):
        simulate(TIMES, Method(Lost(), rules.SGD(0.1)), arrivals=5)


@dataclass(frozen=True)
class EveryUpdate:
    """Start all idle workers whenever the rule has made an update (as semi-synchronous servers do)."""

    def react(self, job, view):
        return view.idle if view.k > self.last(view) else ()

    def last(self, view):
        return (view.arrivals - 1) // 2  # updates before this arrival, for a rule that steps with every second one


def test_a_policy_may_count_updates():
    # Steps with every second gradient: whoever is idle then starts. 1: 0 waits. 2: 1 arrives, update: 0 and 1 start (3, 4).
    # 3: 0 waits; 4: 1, update, both start (5, 6). 5: 2 arrives (older), waits; then 0: update, 0 and 2 start (6, 10).
    method = Method(EveryUpdate(), rules.Buffered(0.1, 2))
    trace = simulate(TIMES, method, arrivals=7)
    assert trace.frame()[["worker", "read", "end"]].values.tolist() == [
        [0, 0, 1], [1, 0, 2], [0, 2, 3], [1, 2, 4], [2, 0, 5], [0, 4, 5], [1, 4, 6],
    ]  # fmt: skip
    # With a rule that steps each time it is greedy.
    greedy = Method(EveryUpdate(), rules.SGD(0.1))
    assert simulate(TIMES, greedy, arrivals=50) == simulate(TIMES, ASGD, arrivals=50)


@every_method
def test_the_counter_that_a_policy_sees_is_the_rules_own(name, hyper):
    method, seen = METHODS[name](0.1, **hyper), []
    view = None

    class Spy:
        def __getattr__(self, name):  # what a policy may have besides
            return getattr(method.policy, name)

        def react(self, job, now):
            nonlocal view
            view = now
            if now.arrivals % 3 == 0:  # now and then: the counter catches up
                seen.append((now.arrivals, now.k))
            return method.policy.react(job, now)

    trace = simulate(clusters.Exponential((1.0, 1.5, 2.0, 4.5)), Method(Spy(), method.rule), arrivals=60)
    assert trace == simulate(clusters.Exponential((1.0, 1.5, 2.0, 4.5)), method, arrivals=60)
    counter = rules.Counter(method.rule, 4)
    for row in zip(trace.worker.tolist(), trace.read.tolist(), (trace.end - trace.start).tolist(), strict=True):
        counter.receive(*row)
    assert len(seen) >= 20 and [k for _, k in seen] == [counter.updates[e] for e, _ in seen]
    assert view.k == counter.state.k


def test_the_rule_is_not_run_where_nobody_asks():
    class Explosive(rules.SGD):
        def receive(self, s, a):
            raise AssertionError("run")

    assert simulate(TIMES, Method(Greedy(), Explosive(0.1)), arrivals=50) == simulate(TIMES, ASGD, arrivals=50)
    # But a rule that does not fit the cluster is refused before anything happens.
    with pytest.raises(ValueError, match="n_arrivals must be a whole number of at least 1 and at most 3; got 4"):
        simulate(TIMES, METHODS["dude"](0.1, n_arrivals=4), arrivals=50)


def test_a_trace_says_where_it_comes_from():
    meta = simulate(TIMES, METHODS["dude"](0.1, n_arrivals=2), arrivals=5, seed=11).meta
    assert meta == {
        "source": "simulated",
        "cluster": "Fixed(seconds=(1.0, 2.0, 5.0))",
        "policy": "Quorum(size=2)",
        "method": "dude(n_arrivals=2)",
        "seed": "11",
    }


def test_step_sizes_do_not_matter_and_global_randomness_is_left_alone():
    cluster, traces = clusters.Exponential((1.0, 1.5, 2.0, 4.5)), []
    for lr in (0.1, 0.2):
        before = torch.get_rng_state(), np.random.get_state()[1:3], random.getstate()
        traces.append([simulate(cluster, METHODS[name](lr, **hyper), arrivals=20) for name, hyper in CASES.values()])
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1][0]) and np.random.get_state()[2] == before[1][1]
        assert random.getstate() == before[2]
        torch.rand(1), np.random.rand(), random.random()
    assert traces[0] == traces[1]


def test_two_hundred_thousand_arrivals_of_a_thousand_workers_are_a_small_file(tmp_path):
    trace = simulate(clusters.spread(1000, 10.0), ASGD, arrivals=200_000)
    assert len(trace) == 200_000 and trace.delays.sum() + (200_000 - trace.in_flight["read"]).sum() == 999 * 200_000
    trace.save(tmp_path / "trace.npz")
    assert (tmp_path / "trace.npz").stat().st_size < 8e6
