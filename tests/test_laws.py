"""Laws that hold on every cluster: conservation of delays and jobs, scaling of time, monotony, shared luck."""

import math

import numpy as np
import pytest
from cases import any_cluster, laws
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib import METHODS, clusters, simulate

BUSY = ["asgd", "asgd_random", "asgd_shuffled"]  # every worker, or every queue's worth of jobs, is busy from first to last
ROUNDS = [("sgd_minibatch", {}), ("dude", {"n_arrivals": 2}), ("dude", {"n_arrivals": 3, "warm_up": "broadcast"}), ("mifa", {}),
          ("dude", {"warm_up": "broadcast"})]  # fmt: skip
every = st.sampled_from([(name, {}) for name in BUSY] + ROUNDS)
seeds = st.integers(0, 2**31)


def method_for(case, n):
    """The method, with a size that fits n workers."""
    name, hyper = case
    return METHODS[name](0.1, **{k: min(v, n) if k == "n_arrivals" else v for k, v in hyper.items()})


def arrivals_before(trace, time, job):
    """How many gradients the server had processed when this job ended: earlier ends, and among equal ends older jobs."""
    return int(((trace.end < time) | ((trace.end == time) & (trace.job < job))).sum())


def ages(trace):
    """Arrivals that each job lived through, summed over arrived, lost and flying jobs."""
    lost = [arrivals_before(trace, row["end"], row["job"]) - row["read"] for row in trace.lost]
    return int(trace.delays.sum() + sum(lost))


def outstanding_at_arrivals(trace, policy):
    """Closed forms of the number of jobs under way as each gradient arrives, without a look at `read`."""
    n, E = trace.n, np.arange(len(trace))
    if "BroadcastFirst" in policy:
        c = min(3, n) if "Quorum" in policy else 1
        return np.where(E < n, n - E, n - (E - n) % c)
    if policy.startswith("Quorum"):
        return n - E % min(2, n)
    if policy.startswith("Rounds"):
        size = math.ceil(0.5 * n)
        return np.where(E < n, n - E, size - (E - n) % size)
    return n - E % n if policy == "Barrier()" else np.full(len(E), n)


@laws
@given(name=st.sampled_from(BUSY), cluster=any_cluster(), arrivals=st.integers(1, 80), seed=seeds)
def test_delays_and_ages_sum_to_n_minus_1_an_arrival(name, cluster, arrivals, seed):
    trace = simulate(cluster, METHODS[name](0.1), arrivals=arrivals, seed=seed)
    flying = trace.in_flight
    assert len(flying) == len(trace.lost) == cluster.n
    assert trace.delays.sum() + (arrivals - flying["read"]).sum() == (cluster.n - 1) * arrivals


@laws
@given(case=st.sampled_from(ROUNDS), cluster=any_cluster(), arrivals=st.integers(1, 80), seed=seeds)
def test_every_arrival_ages_all_other_jobs_by_one(case, cluster, arrivals, seed):
    trace = simulate(cluster, method_for(case, cluster.n), arrivals=arrivals, seed=seed)
    assert ages(trace) == (outstanding_at_arrivals(trace, trace.meta["policy"]) - 1).sum()


@laws
@given(case=every, cluster=any_cluster(most=4), up=st.floats(1.0, 30.0), down=st.floats(0.1, 10.0), until=st.floats(0.0, 40.0), seed=seeds)
def test_workers_that_leave_lose_jobs_and_never_the_count(case, cluster, up, down, until, seed):
    trace = simulate(clusters.Dropout(cluster, up, down), method_for(case, cluster.n), until=until, seed=seed)
    gone = np.isfinite(trace.lost["end"])
    jobs = np.concatenate([trace.job, trace.lost["job"]])
    assert np.array_equal(np.sort(jobs), np.arange(len(jobs)))  # created = arrived + lost + in flight
    assert (trace.lost["end"][gone] <= until).all() and (trace.end <= until).all()
    # A lost job's successor is handed out at once: losses leave the number of jobs under way as it was.
    if case[0] in BUSY:
        assert len(trace.in_flight) == cluster.n
        assert ages(trace) == (cluster.n - 1) * len(trace)
    else:
        assert ages(trace) == (outstanding_at_arrivals(trace, trace.meta["policy"]) - 1).sum()
    # The rows of jobs that begun, worker by worker: one at a time, oldest first.
    begun = np.concatenate([np.stack([trace.job, trace.worker, trace.start, trace.end]).T,
                            np.stack([trace.lost[f] for f in ("job", "worker", "start", "end")]).T])  # fmt: skip
    begun = begun[~np.isnan(begun[:, 2])]
    for w in range(cluster.n):
        rows = begun[begun[:, 1] == w]
        rows = rows[np.argsort(rows[:, 0])]
        assert (rows[1:, 2] >= rows[:-1, 3]).all()


@laws
@given(case=every, cluster=any_cluster(), arrivals=st.integers(1, 60), seed=seeds)
def test_a_longer_simulation_begins_like_the_shorter(case, cluster, arrivals, seed):
    method = method_for(case, cluster.n)
    short, long = (simulate(cluster, method, arrivals=a, seed=seed) for a in (arrivals, arrivals + 25))
    timed = simulate(cluster, method, until=short.end[-1], seed=seed)
    for column in ("job", "worker", "read", "start", "end"):
        assert np.array_equal(getattr(long, column)[:arrivals], getattr(short, column))
        assert np.array_equal(getattr(timed, column)[:arrivals], getattr(short, column))
    assert (timed.end == short.end[-1])[arrivals:].all()


SCALED = {
    "Fixed": lambda t, c: clusters.Fixed(t * c),
    "Exponential": lambda t, c: clusters.Exponential(t * c),
    "LogNormal": lambda t, c: clusters.LogNormal(t * c, 0.7),
    "Pareto": lambda t, c: clusters.Pareto(t * c, 1.5),
    "Uniform": lambda t, c: clusters.Uniform(t * c, 3 * t * c),
    "TruncatedNormal": lambda t, c: clusters.TruncatedNormal(t * c, t * c, low=0.0),
    "Switching": lambda t, c: clusters.Switching(t * c, 3 * t * c, period=4.0 * c),
    "Dropout": lambda t, c: clusters.Dropout(clusters.Exponential(t * c), 8.0 * c, 2.0 * c),
}
times_strategy = st.lists(st.floats(0.125, 8.0), min_size=1, max_size=5).map(np.array)


@pytest.mark.parametrize("kind", SCALED)
@laws
@given(case=every, times=times_strategy, power=st.integers(-3, 3), seed=seeds)
def test_scaling_time_scales_times_alone(kind, case, times, power, seed):
    scale, method = 2.0**power, method_for(case, len(times))  # a power of two: exact in binary arithmetic
    one, other = (simulate(SCALED[kind](times, c), method, arrivals=30, seed=seed) for c in (1.0, scale))
    for column in ("job", "worker", "read"):
        assert np.array_equal(getattr(one, column), getattr(other, column))
    assert np.array_equal(one.start * scale, other.start)
    assert np.array_equal(one.end * scale, other.end)


SLOWER = {
    "Exponential": lambda t, s: clusters.Exponential(t * s),
    "LogNormal": lambda t, s: clusters.LogNormal(t * s, 0.7),
    "Pareto": lambda t, s: clusters.Pareto(t * s, 1.5),
    "Uniform": lambda t, s: clusters.Uniform(t, 3 * t * s),
    "TruncatedNormal": lambda t, s: clusters.TruncatedNormal(t * s, 2.0, low=0.25),
}


@pytest.mark.parametrize("kind", SLOWER)
@laws
@given(name=st.sampled_from(["asgd", "sgd_minibatch"]), times=times_strategy, slower=st.floats(1.0, 4.0), seed=seeds)
def test_slower_workers_are_never_ahead_on_the_same_luck(kind, name, times, slower, seed):
    fast, slow = (simulate(SLOWER[kind](times, s), METHODS[name](0.1), arrivals=40, seed=seed) for s in (1.0, slower))
    assert (slow.end >= fast.end * (1 - 1e-12)).all()


@laws
@given(cluster=any_cluster(phases=False), seed=seeds)
def test_two_policies_on_one_seed_meet_the_same_luck(cluster, seed):
    def durations(name):
        trace = simulate(cluster, METHODS[name](0.1), arrivals=60, seed=seed)
        order = np.argsort(trace.job)
        return [((trace.end - trace.start)[order])[trace.worker[order] == w] for w in range(cluster.n)]

    for a, b in zip(durations("asgd"), durations("sgd_minibatch"), strict=True):
        m = min(len(a), len(b))
        np.testing.assert_allclose(a[:m], b[:m], rtol=1e-9)
