"""Workers with models of their own: who waits, how large rounds are, and how many rounds and bytes they take."""

import numpy as np
import pytest
from cases import any_cluster, local_sizes, quadratic
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.rules import Counter, HogwildLocal, LocalSGD

HOGWILD = METHODS["hogwild_local"]
TIMES = (1.0, 2**0.5, 3.3)  # s; no two gradients end together


# Who waits


def rounds_of(trace, share):
    """Round of every arrival among its worker's own, and whether it begins one."""
    ends = np.cumsum(share)
    seen, rounds, begins = [0] * trace.n, [], []
    for worker in trace.worker.tolist():
        i = int(np.searchsorted(ends, seen[worker], side="right"))
        rounds.append(i)
        begins.append(seen[worker] == (ends[i - 1] if i else 0))
        seen[worker] += 1
    return np.array(rounds), np.array(begins)


@given(any_cluster(most=5), st.integers(0, 3), st.integers(1, 9), st.sampled_from(["constant", "linear", "log"]), st.integers(0, 5))
def test_nobody_begins_a_round_too_far_ahead(cluster, gap, samples, growth, seed):
    method = HOGWILD(0.1, samples=samples, growth=growth, gap=gap)
    trace = simulate(cluster, method, arrivals=80, seed=seed)
    share = local_sizes(samples, growth, trace.n, 100)
    rounds, begins = rounds_of(trace, share)
    for e in np.flatnonzero(begins):
        read = int(trace.read[e])
        delivered = np.bincount(trace.worker[:read], minlength=trace.n)
        k = int(np.searchsorted(np.cumsum(share), delivered.min(), side="right"))  # rounds that all have sent
        assert rounds[e] <= k + gap


def waits(trace):
    """Jobs that began later than their worker's last one ended."""
    last, number = np.zeros(trace.n), 0
    for worker, start, end in zip(trace.worker, trace.start, trace.end, strict=True):
        number += start > last[worker]
        last[worker] = end
    return number


def test_a_larger_gap_means_fewer_waits():
    cluster = clusters.Fixed((1.0, 2.0, 3.0, 4.0))
    counts = [waits(simulate(cluster, HOGWILD(0.1, samples=4, growth="constant", gap=gap), until=200.0)) for gap in (0, 1, 2, 4, 200)]
    assert counts[0] == 3 * 49  # synchronous, one gradient each in 4 s: three wait before each of the rounds 1..49
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] == 0
    assert waits(simulate(clusters.equal(4), HOGWILD(0.1, gap=1), arrivals=400)) == 0


# Sizes, rounds, bytes


@pytest.mark.parametrize(("growth", "expected"), [("constant", [3, 3, 3, 3]), ("linear", [3, 5, 8, 10]), ("log", [4, 5, 6, 7])])
def test_sizes_of_rounds(growth, expected):
    rule = HogwildLocal(0.1, samples=10, growth=growth)  # log: 10 / ln 2 = 14.4, 20 / ln 3 = 18.2, 30 / ln 4 = 21.6, 40 / ln 5 = 24.9
    assert [rule.size(i, 4) for i in range(4)] == expected == local_sizes(10, growth, 4, 4)
    assert [rule.before(i, 4) for i in range(5)] == [4 * sum(expected[:i]) for i in range(5)]
    assert HogwildLocal(0.1, samples=1, growth=growth).size(0, 9) == 1  # at least one each


def test_step_sizes_of_rounds():
    fixed, inverse = HogwildLocal(0.5, samples=4), HogwildLocal(0.5, samples=4, decay=0.25)
    root = HogwildLocal(0.5, samples=4, decay=0.25, schedule="sqrt")
    assert [fixed.lr_of(i, 4) for i in range(3)] == [0.5] * 3
    assert [inverse.lr_of(i, 4) for i in range(3)] == [0.5, 0.5 / 2, 0.5 / 4]  # before: 0, 4, 12
    assert [root.lr_of(i, 4) for i in range(3)] == pytest.approx([0.5, 0.5 / 1.5, 0.5 / (1 + 0.25 * 12**0.5)], rel=1e-15)
    assert [LocalSGD(0.5, local_steps=3, decay=0.5).lr_of(i, 2) for i in range(3)] == [0.5, 0.5 / 4, 0.5 / 7]


def rounds_for(K, **hyper):
    """Rounds until K gradients are done, by the rule's own account."""
    rule, T = HogwildLocal(0.1, **hyper), 0
    while rule.before(T, 5) < K:
        T += 1
    return T


@pytest.mark.parametrize(("a", "expected"), [(10, [45, 141, 447]), (50, [20, 63, 200])])
def test_rounds_that_grow_linearly_number_the_root_of_2K_over_a(a, expected):
    K = [10**4, 10**5, 10**6]
    found = [rounds_for(k, samples=a) for k in K]
    assert found == expected
    np.testing.assert_allclose(found, np.sqrt(2 * np.array(K) / a), atol=0.51)
    assert np.polyfit(np.log(K), np.log(found), 1)[0] == pytest.approx(0.5, abs=0.005)


def test_rounds_of_constant_size_number_K_over_s():
    found = [rounds_for(k, samples=50, growth="constant") for k in (10**3, 10**4, 10**5)]
    assert found == [20, 200, 2000]


def test_rounds_that_grow_with_a_logarithm_less_lie_between():
    found = np.array([rounds_for(k, samples=10, growth="log") for k in (10**4, 10**5, 10**6)])
    slope = np.diff(np.log10(found))
    assert (slope > 0.5).all() and (slope < 0.6).all() and slope[1] < slope[0]  # sqrt(K ln K)
    assert (found > [45, 141, 447]).all()


def test_the_history_counts_rounds_and_bytes():
    method, problem = HOGWILD(0.005, samples=10), quadratic(5, d=3)
    trace = simulate(clusters.equal(5), method, arrivals=2000)  # rounds of 10, 20, 30, ...: 19 of them are 1900 gradients
    history = replay(trace, method, problem, every=50)
    rounds = np.array([next(T for T in range(99) if 5 * (T + 1) * (T + 2) > e) for e in history["arrivals"]])
    assert history["rounds"].tolist() == rounds.tolist() and rounds[-1] == 19
    # Five models at the start; five messages up and five models down a round, of three numbers of 8 bytes.
    assert history["bytes"].tolist() == (24 * (5 + 10 * rounds)).tolist()
    assert history["updates"].tolist() == (5 * rounds).tolist()


def test_bytes_in_the_middle_of_a_round_are_those_sent_so_far():
    method, problem = HOGWILD(0.01, samples=3, growth="constant", gap=5), quadratic(3, d=2)
    trace = simulate(clusters.Fixed(TIMES), method, arrivals=40)  # one gradient a round each: every arrival is a message
    history = replay(trace, method, problem, every=1)
    broadcasts = [min(np.bincount(trace.worker[:e], minlength=3)) for e in range(41)]
    assert history["bytes"].tolist() == [16 * (3 + e + 3 * k) for e, k in enumerate(broadcasts)]
    assert history["rounds"].tolist() == broadcasts


def test_bytes_of_linear_rounds_grow_like_the_root_of_the_gradients():
    K, spent = (500, 2000, 8000), {}
    for growth in ("linear", "constant"):
        counter = Counter(HogwildLocal(0.01, samples=10, growth=growth, gap=0), 5)
        total = {}
        for e in range(1, 8001):
            counter.receive((e - 1) % 5, 0, 1.0)
            total[e] = counter.state.sent
        spent[growth] = np.polyfit(np.log(K), np.log([total[k] for k in K]), 1)[0]
    assert spent["linear"] == pytest.approx(0.5, abs=0.02) and spent["constant"] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("hyper", "says"),
    [
        ({"samples": 0}, "samples must be a whole number of at least 1; got 0"),
        ({"samples": 2.5}, "samples must be a whole number"),
        ({"growth": "square"}, "growth must be one of 'constant', 'linear', 'log'; got 'square'"),
        ({"gap": -1}, "gap must be a whole number of at least 0; got -1. 0 is synchronous"),
        ({"decay": -0.1}, "decay must be a finite number of at least 0; got -0.1"),
        ({"schedule": "cosine"}, "schedule must be one of 'inverse', 'sqrt'; got 'cosine'"),
    ],
)
def test_senseless_arguments_are_refused(hyper, says):
    with pytest.raises(ValueError, match=says):
        HOGWILD(0.1, **hyper)


@pytest.mark.parametrize("steps", [0, 1.5, "3"])
def test_senseless_local_steps_are_refused(steps):
    with pytest.raises(ValueError, match="local_steps must be a whole number of at least 1"):
        METHODS["local_sgd"](0.1, local_steps=steps)
