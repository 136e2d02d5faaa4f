"""Policies that take jobs away: on clocks that a reader can follow, on any cluster, and in real runs."""

import math
import pickle
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import RANDOM, any_cluster, laws
from hypothesis import given
from hypothesis import strategies as st
from serving import noisy, replayed
from test_policies import rows
from test_simulate import Script

from asgd_lib import METHODS, Method, Trace, clusters, serve, simulate
from asgd_lib.distributed.children import Fault
from asgd_lib.policies import Barrier, Greedy, Quorum, Restart
from asgd_lib.problems import Quadratic
from asgd_lib.rules import SGD, update_delays
from asgd_lib.stopping import FirstOf, Only, Stop, Trials

TIMES = clusters.Fixed((1.0, 2.0, 5.0))


def run(policy, cluster=TIMES, rule=None, **bounds):
    return simulate(cluster, Method(policy, rule or SGD(0.1)), **bounds)


def lost(trace):
    """(worker, read, start, end) of each lost job that is not in flight."""
    return [tuple(row)[1:] for row in trace.lost if row["end"] < math.inf]


def test_stop_restarts_whoever_computes_on_a_model_that_is_too_old():
    # Threshold 3: updates at 1 (w0), 2 (w1), 2 (w0): three, so worker 2 is stopped at 2 s and would end at 7. Updates at 3 (w0),
    # 4 (w1), 4 (w0): it is stopped again at 4 s; and so on: worker 2 never delivers.
    trace = run(Stop(3), arrivals=9)
    assert rows(trace) == [
        (0, 0, 0, 1), (1, 0, 0, 2), (0, 1, 1, 2), (0, 3, 2, 3), (1, 2, 2, 4), (0, 4, 3, 4), (0, 6, 4, 5), (1, 5, 4, 6), (0, 7, 5, 6),
    ]  # fmt: skip
    assert lost(trace) == [(2, 0, 0, 2), (2, 3, 2, 4), (2, 6, 4, 6)]


def test_stop_asks_the_rule_what_an_update_is():
    # Two gradients make an update: the first three updates are complete at 4 s, after six arrivals.
    trace = run(Stop(3), rule=METHODS["fedbuff"](0.1, buffer=2).rule, arrivals=9)
    assert lost(trace) == [(2, 0, 0, 4)]


def test_a_stopped_job_whose_end_was_due_leaves_no_mark():
    # Worker 1's first job would end at 1.5 s; it is stopped at 1 s and begins again, to end at 3 s, not at 1.5.
    cluster = Script(((1, 4, 9), (1.5, 2, 9)))
    trace = run(Stop(1), cluster, arrivals=2)
    assert rows(trace) == [(0, 0, 0, 1), (1, 1, 1, 3)] and lost(trace) == [(1, 0, 0, 1), (0, 1, 1, 3)]


def test_first_of():
    # Two of three: at 2 s 0 and 1 are idle; without stop they start alone and worker 2's job goes on, with it all three start.
    assert run(FirstOf(2), arrivals=60) == run(Quorum(2), arrivals=60)
    trace = run(FirstOf(2, stop=True), arrivals=6)
    assert rows(trace) == [(0, 0, 0, 1), (1, 0, 0, 2), (0, 2, 2, 3), (1, 2, 2, 4), (0, 4, 4, 5), (1, 4, 4, 6)]
    assert lost(trace) == [(2, 0, 0, 2), (2, 2, 2, 4), (2, 4, 4, 6)]


@pytest.mark.parametrize("stop", [False, True])
def test_first_of_is_greedy_or_a_barrier_at_its_ends(stop):
    cluster = clusters.Exponential((1.0, 3.0, 4.0, 9.0))
    assert run(FirstOf(4, stop), cluster, arrivals=50) == run(Barrier(), cluster, arrivals=50)
    assert run(FirstOf(stop=stop), cluster, arrivals=50) == run(FirstOf(2, stop), cluster, arrivals=50)
    if not stop:
        assert run(FirstOf(1), cluster, arrivals=50) == run(Greedy(), cluster, arrivals=50)


def test_trials_are_rounds_of_jobs_on_one_model_each_with_its_limit():
    # Two trials each of at most 4 s: worker 0 delivers at 1, 2; worker 1 at 2, 4; worker 2 fails at 4 and 8; the next round begins at 8.
    trace = run(Trials(2, 4.0), arrivals=6)
    assert rows(trace) == [(0, 0, 0, 1), (0, 0, 1, 2), (1, 0, 0, 2), (1, 0, 2, 4), (0, 4, 8, 9), (0, 4, 9, 10)]
    assert lost(trace) == [(2, 0, 0, 4), (2, 0, 4, 8)]
    # Numbers of its own for each worker: worker 2 has no trial, and may take as long as it likes.
    trace = run(Trials((1, 2, 0), (9.0, 1.5, 9.0)), arrivals=3)
    assert rows(trace) == [(0, 0, 0, 1), (0, 1, 3, 4), (0, 2, 6, 7)] and lost(trace)[:2] == [(1, 0, 0, 1.5), (1, 0, 1.5, 3)]


def test_a_limit_that_is_met_exactly_loses_nothing():
    assert not lost(run(Trials(1, 5.0), arrivals=30)) and run(Trials(1, 5.0), arrivals=30) == run(Barrier(), arrivals=30)
    assert run(Trials(), RANDOM, arrivals=40) == run(Barrier(), RANDOM, arrivals=40)


def test_a_limit_ends_the_wait_for_one_who_has_left():
    gone = clusters.Dropout(TIMES, up=3.0, down=math.inf)
    trace = run(Trials(1, 6.0), gone, arrivals=20, until=500.0)
    assert 0 < len(trace) < 20 and len(lost(trace)) > 100
    shares = np.bincount([row[0] for row in lost(trace)], minlength=3)
    assert (shares > 30).all()


@dataclass(frozen=True)
class Fickle:
    """Queues a second job for worker 1 at once, takes everything away from it at the second arrival, and queues another at the third."""

    def react(self, job, view):
        assert view.outstanding == (1 if job.worker else {1: 1, 2: 2, 3: 1}[view.arrivals])
        if job.worker:
            return ()
        return {1: (0, 1), 2: (0, Restart(1)), 3: (1,)}[view.arrivals]


def test_restart_takes_the_queue_away_too():
    trace = run(Fickle(), clusters.Fixed((1.0, 10.0)), arrivals=4)
    assert rows(trace) == [(0, 0, 0, 1), (0, 1, 1, 2), (0, 2, 2, 3), (1, 2, 2, 12)]
    taken = trace.lost[trace.lost["worker"] == 1]
    assert taken["end"].tolist() == [2.0, 2.0, math.inf] and taken["read"].tolist() == [0, 1, 3]
    assert taken["start"][0] == 0 and math.isnan(taken["start"][1]) and taken["start"][2] == 12.0  # a queued job never began


@pytest.mark.parametrize("worker", [-1, 3, 99])
def test_a_restart_of_nobody_is_refused(worker):
    class Wrong:
        def react(self, job, view):
            return (Restart(worker),)

    with pytest.raises(ValueError, match=f"named worker {worker}; the workers are numbered 0..2"):
        run(Wrong(), arrivals=3)


@pytest.mark.slow
def test_a_served_worker_loses_its_queue_too(tmp_path):
    method, cluster = Method(Fickle(), SGD(0.05)), clusters.Fixed((0.02, 0.3))
    served = serve(noisy(2), method, arrivals=4, cluster=cluster, folder=tmp_path, timeout=20.0)
    simulated = simulate(cluster, method, arrivals=4)
    assert all(np.array_equal(getattr(served.trace, c), getattr(simulated, c)) for c in ("job", "worker", "read"))
    for column in ("job", "read"):
        assert np.array_equal(served.trace.lost[column], simulated.lost[column])
    assert served.trace == Trace.load(tmp_path / "journal") and torch.equal(served.x, replayed(served.trace, method, noisy(2)))


@pytest.mark.parametrize("policy", [Stop(), Stop(3), FirstOf(), FirstOf(2, stop=True), Trials(2, 3.0), Only(), Only((2, 0))], ids=repr)
def test_policies_are_values(policy):
    again = pickle.loads(pickle.dumps(policy))
    assert again == policy and hash(again) == hash(policy) and run(again, arrivals=40, seed=5) == run(policy, arrivals=40, seed=5)


def test_a_senseless_size_is_refused():
    with pytest.raises(ValueError, match="size must be a whole number of at least 1; got 0"):
        FirstOf(0)


@laws
@given(cluster=any_cluster(), threshold=st.integers(1, 8), arrivals=st.integers(1, 80), seed=st.integers(0, 2**31))
def test_stopping_keeps_every_delay_below_the_threshold_and_loses_no_job(cluster, threshold, arrivals, seed):
    method = METHODS["ringmaster"](0.1, threshold=threshold, stop=True)
    trace = simulate(cluster, method, arrivals=arrivals, seed=seed)
    delays = update_delays(trace, method.rule)
    assert delays.max() < threshold and np.array_equal(delays, trace.delays)  # every arrival is an update
    assert sorted([*trace.job, *trace.lost["job"]]) == list(range(arrivals + len(trace.lost)))
    assert len(trace.in_flight) == cluster.n and sorted(trace.in_flight["worker"]) == list(range(cluster.n))
    ages = np.searchsorted(trace.end, trace.lost["end"], side="right") - trace.lost["read"]
    assert (ages[np.isfinite(trace.lost["end"])] >= threshold).all()  # nobody is stopped too early
    assert ((arrivals - trace.in_flight["read"]) < threshold).all()  # nor too late


@laws
@given(cluster=any_cluster(), size=st.integers(1, 6), arrivals=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_the_first_of_a_round_all_read_its_beginning(cluster, size, arrivals, seed):
    size = min(size, cluster.n)
    trace = simulate(cluster, METHODS["k_sync"](0.1, k=size), arrivals=arrivals, seed=seed)
    E = np.arange(arrivals)
    assert np.array_equal(trace.read, E - E % size)
    rounds = np.split(trace.worker, range(size, arrivals, size))
    assert all(len(set(workers.tolist())) == len(workers) for workers in rounds)


@laws
@given(
    case=st.sampled_from([("k_sync", {}), ("ringmaster", {"threshold": 3, "stop": True}), ("mindflayer", {"trials": 2, "limit": 2.0})]),
    cluster=any_cluster(), up=st.floats(2.0, 20.0), down=st.floats(0.5, 5.0), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_every_job_arrives_or_is_lost_once_though_workers_leave(case, cluster, up, down, seed):
    name, hyper = case
    trace = simulate(clusters.Dropout(cluster, up, down), METHODS[name](0.1, **hyper), until=60.0, seed=seed)
    assert sorted([*trace.job, *trace.lost["job"]]) == list(range(len(trace) + len(trace.lost)))
    flying = np.bincount(trace.in_flight["worker"], minlength=cluster.n)
    assert flying.max() <= (2 if name == "mindflayer" else 1) and flying.sum() > 0
    if name == "mindflayer":
        failed = trace.lost[np.isfinite(trace.lost["end"])]
        assert max([0.0, *(trace.end - trace.start), *(failed["end"] - failed["start"])]) <= 2 + 1e-9


# In real runs.


@pytest.mark.slow
def test_a_served_worker_is_stopped_as_in_the_simulation():
    cluster = clusters.Fixed((0.03, 0.03, 0.03, 0.4))
    method = METHODS["ringmaster"](0.05, threshold=6, stop=True)
    served = serve(noisy(), method, arrivals=60, cluster=cluster, timeout=20.0)
    trace = served.trace
    assert 3 not in trace.worker and update_delays(trace, method.rule).max() < 6
    stopped = [row for row in lost(trace) if row[0] == 3]
    assert len(stopped) >= 5 and all(end - start < 0.4 for _, _, start, end in stopped)
    assert torch.equal(served.x, replayed(trace, method, noisy()))


@pytest.mark.slow
def test_a_worker_that_was_stopped_delivers_later():
    cluster = clusters.Fixed((0.02, 0.02, 0.02, 0.09))
    method = METHODS["k_sync"](0.05, k=3)
    served = serve(noisy(), method, arrivals=30, cluster=cluster, timeout=20.0)
    assert lost(served.trace) and torch.equal(served.x, replayed(served.trace, method, noisy()))
    # Everybody's last job is answered in time although it was given to a busy worker: rounds do not wait for what was stopped.
    ends = served.trace.end[2::3]
    assert np.median(np.diff(ends)) < 0.09


class Slow(Quadratic):
    """Worker 2 really takes a fifth of a second."""

    def grad(self, x, worker, job, seed):
        if len(worker) == 1 and int(worker) == 2:
            time.sleep(0.2)
        return super().grad(x, worker, job, seed)


@dataclass(frozen=True)
class Interrupted:
    """Worker 0 delivers until there are `times` arrivals, and `victim` begins anew each time; nobody else works."""

    victim: int
    times: int

    def first(self, view):
        return (0, self.victim)

    def react(self, job, view):
        return () if job.worker or view.arrivals == self.times else (0, Restart(self.victim))


@pytest.mark.slow
def test_the_time_of_a_new_job_runs_although_its_worker_is_still_at_the_old_one():
    method, cluster = Method(Interrupted(1, 3), SGD(0.05)), clusters.Fixed((0.2, 0.8))
    assert simulate(cluster, method, arrivals=4).end[-1] == pytest.approx(1.2)  # stopped at 0.2 and 0.4, and 0.8 s from there
    last = serve(noisy(2), method, arrivals=4, cluster=cluster, timeout=20.0).trace
    assert last.worker[-1] == 1 and 0.8 <= last.end[-1] - last.start[-1] < 1.15  # not after the first job, and 0.8 s from there: 1.2


@pytest.mark.slow
def test_a_busy_worker_is_spared_the_jobs_that_were_taken_back_meanwhile():
    plain = noisy(3)
    method = Method(Interrupted(2, 20), SGD(0.05))
    served = serve(Slow(plain.A, plain.b, sigma=plain.sigma), method, arrivals=21, timeout=20.0).trace
    assert served.worker[-1] == 2 and len(lost(served)) > 10
    assert served.end[-1] - served.start[-1] < 2.0  # one old gradient of 0.2 s and the new one, not twenty


@pytest.mark.slow
@pytest.mark.parametrize("injected", [True, False])
def test_a_served_trial_has_its_limit(injected, tmp_path):
    plain = noisy(3)
    problem = plain if injected else Slow(plain.A, plain.b, sigma=plain.sigma)
    cluster = clusters.Fixed((0.001, 0.001, 0.2)) if injected else None
    method = METHODS["mindflayer"](0.05, trials=2, limit=0.06, success=(1.0, 1.0, 0.001))
    served = serve(problem, method, arrivals=20, cluster=cluster, folder=tmp_path, timeout=20.0)
    assert served.trace == Trace.load(tmp_path / "journal")
    assert set(served.trace.worker.tolist()) <= {0, 1} and np.bincount(served.trace.worker).max() == 10
    failed = [row for row in lost(served.trace) if row[0] == 2]
    assert len(failed) >= 8 and all(end - start >= 0.0599 for _, _, start, end in failed)
    assert torch.equal(served.x, replayed(served.trace, method, plain))
    more = serve(problem, method, arrivals=32, cluster=cluster, folder=tmp_path, resume=True, timeout=20.0)
    assert len(more.trace) == 32 and torch.equal(more.x, replayed(more.trace, method, plain))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "hyper"), [("ringmaster", {"threshold": 3, "stop": True}), ("k_sync", {"k": 3}), ("mindflayer", {"trials": 2})]
)
def test_a_run_with_stops_goes_on_after_its_server(name, hyper, tmp_path):
    method, cluster = METHODS[name](0.05, **hyper), clusters.Exponential((0.004,) * 4)
    first = serve(noisy(), method, arrivals=40, cluster=cluster, folder=tmp_path, timeout=20.0)
    more = serve(noisy(), method, arrivals=90, cluster=cluster, folder=tmp_path, resume=True, timeout=20.0)
    assert len(more.trace) == 90 and more.trace == Trace.load(tmp_path / "journal")
    assert np.array_equal(more.trace.job[:40], first.trace.job)
    assert torch.equal(more.x, replayed(more.trace, method, noisy()))


@pytest.mark.slow
@pytest.mark.parametrize("back", [True, False], ids=["back", "gone"])
@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("ringmaster", {"threshold": 4, "stop": True}),
        ("k_sync", {"k": 2}),
        ("k_async", {"k": 2}),
        ("mindflayer", {"trials": 2, "limit": 0.03}),
    ],
)
def test_stops_and_limits_survive_a_killed_worker(name, hyper, back, tmp_path):
    method, cluster = METHODS[name](0.02, **hyper), clusters.Fixed((0.003, 0.003, 0.006, 0.01))
    faults = [Fault(30, 1, "kill")] + [Fault(45, 1, "join")] * back
    served = serve(noisy(), method, arrivals=120, cluster=cluster, faults=faults, folder=tmp_path, timeout=20.0)
    trace = served.trace
    assert len(trace) == 120 and trace == Trace.load(tmp_path / "journal")
    assert (1 in trace.worker[60:]) == back
    assert torch.equal(served.x, replayed(trace, method, noisy()))
    more = serve(noisy(), method, arrivals=140, cluster=cluster, folder=tmp_path, resume=True, timeout=20.0)
    assert len(more.trace) == 140 and torch.equal(more.x, replayed(more.trace, method, noisy()))


def test_the_table_pairs_each_rule_with_its_policy():
    expected = {
        ("ringmaster", ()): Greedy(), ("ringmaster", (("stop", True),)): Stop(),
        ("ringmaster", (("stop", True), ("threshold", 3))): Stop(3),
        ("k_async", ()): FirstOf(), ("k_sync", (("k", 2),)): FirstOf(2, stop=True), ("naive_optimal", (("workers", (1,)),)): Only((1,)),
        ("mindflayer", (("trials", 2), ("limit", 3.0))): Trials(2, 3.0), ("vecna", ()): Trials(1, math.inf),
    }  # fmt: skip
    assert {case: METHODS[case[0]](0.1, **dict(case[1])).policy for case in expected} == expected
