"""Workers with models of their own: against an event loop written out, synchronous loops, and the counts that the papers promise."""

import heapq
import math

import numpy as np
import pytest
import torch
from cases import FIXED, RANDOM, any_cluster, by_hand, quadratic
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.rules import Counter, HogwildLocal, LocalSGD

HOGWILD = METHODS["hogwild_local"]
TIMES = (1.0, 2**0.5, 3.3)  # s; no two gradients end together


def grad(problem, worker, w):
    return problem.A[worker] * w - problem.b[worker]


def sizes(samples, growth, n, rounds):
    """Gradients of each worker in rounds 0, 1, ..."""
    totals = {"constant": lambda i: samples, "linear": lambda i: samples * (i + 1), "log": lambda i: samples * (i + 1) / math.log(i + 2)}
    return [max(1, math.ceil(totals[growth](i) / n)) for i in range(rounds)]


def event_loop(times, problem, arrivals, lr, gap, share, before, decay=0.0, root=False):
    """The paper's pseudo-code, client by client and message by message: (time, server's model, rounds) after each gradient."""
    n, v, k, heard, log = len(times), problem.x0, 0, set(), []
    w, U, i, h = [v] * n, [torch.zeros_like(v)] * n, [0] * n, [0] * n

    def eta(round):
        return lr / (1 + decay * (math.sqrt(before[round]) if root else before[round]))

    events = [(times[c], c, v) for c in range(n)]
    busy = [True] * n
    heapq.heapify(events)
    while len(log) < arrivals:
        now, c, read = heapq.heappop(events)
        g = grad(problem, c, read)
        U[c], w[c], h[c], busy[c] = U[c] + g, w[c] - eta(i[c]) * g, h[c] + 1, False
        if h[c] == share[i[c]]:
            v = v - eta(i[c]) * U[c]
            heard.add((i[c], c))
            U[c], h[c], i[c] = torch.zeros_like(v), 0, i[c] + 1
            while all((k, other) in heard for other in range(n)):
                k += 1
                w = [v - eta(i[other]) * U[other] for other in range(n)]
        for other in range(n):
            if not busy[other] and (h[other] or i[other] <= k + gap):
                busy[other] = True
                heapq.heappush(events, (now + times[other], other, w[other]))
        log.append((now, v, k))
    return log


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize(
    ("samples", "growth", "decay", "schedule"),
    [(3, "linear", 0.0, "inverse"), (5, "linear", 0.1, "inverse"), (4, "log", 0.3, "sqrt"), (7, "constant", 0.0, "inverse")],
)
def test_hogwild_is_the_pseudo_code(gap, samples, growth, decay, schedule):
    problem, arrivals = quadratic(3), 150
    method = HOGWILD(0.02, samples=samples, growth=growth, gap=gap, decay=decay, schedule=schedule)
    share = sizes(samples, growth, 3, 60)
    before = [3 * sum(share[:i]) for i in range(60)]
    log = event_loop(TIMES, problem, arrivals, 0.02, gap, share, before, decay, schedule == "sqrt")
    trace = simulate(clusters.Fixed(TIMES), method, arrivals=arrivals)
    assert trace.end.tolist() == [now for now, _, _ in log]
    steps = by_hand(trace, method, problem)
    assert [step.after.rounds for step in steps] == [k for _, _, k in log] and log[-1][2] > 3
    for step, (_, v, _) in zip(steps, log, strict=True):
        torch.testing.assert_close(step.after.x, v, rtol=1e-13, atol=1e-14)
    assert torch.equal(replay(trace, method, problem).attrs["x"][0], steps[-1].after.x)


@pytest.mark.parametrize(
    "cluster", [FIXED, RANDOM, clusters.straggler(4, 9.0), clusters.equal(4)], ids=["fixed", "random", "straggler", "equal"]
)
@pytest.mark.parametrize("name", ["hogwild_local", "local_sgd"])
def test_gradients_one_by_one_are_those_of_wavefronts(cluster, name):
    method, problem = METHODS[name](0.02), quadratic(sigma=1.0)
    trace = simulate(cluster, method, arrivals=200, seed=2)
    whole, one = (replay(trace, method, problem, seeds=(0, 1), every=40, jobs_per_call=jobs) for jobs in (None, 1))
    assert torch.equal(whole.attrs["x"], one.attrs["x"])
    assert whole.equals(one)


def local_round(problem, worker, w, lr, steps):
    """The model and the sum of gradients after a worker's local steps."""
    U = torch.zeros_like(w)
    for _ in range(steps):
        g = grad(problem, worker, w)
        w, U = w - lr * g, U + g
    return w, U


def test_without_a_gap_hogwild_is_a_synchronous_loop_bit_by_bit():
    problem, method, lr = quadratic(3), HOGWILD(0.03, samples=3, gap=0), 0.03
    v = problem.x0
    for i in range(8):  # i + 1 gradients each
        start = v
        for worker in range(3):  # the fastest is heard first
            v = v - lr * local_round(problem, worker, start, lr, i + 1)[1]
    trace = simulate(clusters.Fixed(TIMES), method, arrivals=3 * 36)
    history = replay(trace, method, problem)
    assert torch.equal(history.attrs["x"][0], v)
    assert trace.end[-1] == pytest.approx(36 * 3.3) and history["rounds"].iloc[-1] == 8


@pytest.mark.parametrize("cluster", [clusters.Fixed(TIMES), clusters.Exponential(TIMES)], ids=["fixed", "exponential"])
def test_local_sgd_is_federated_averaging(cluster):
    problem, method, lr = quadratic(3), METHODS["local_sgd"](0.1, local_steps=4), 0.1
    x = problem.x0
    for _ in range(20):
        x = torch.stack([local_round(problem, worker, x, lr, 4)[0] for worker in range(3)]).mean(0)
    history = replay(simulate(cluster, method, arrivals=240), method, problem)
    torch.testing.assert_close(history.attrs["x"][0], x, rtol=1e-12, atol=1e-13)
    assert history[["updates", "rounds"]].iloc[-1].tolist() == [60, 20]


@pytest.mark.parametrize("cluster", [FIXED, RANDOM, clusters.equal(4)], ids=["fixed", "random", "equal"])
def test_one_local_step_is_minibatch_sgd(cluster):
    local, minibatch = METHODS["local_sgd"](0.1, local_steps=1), METHODS["sgd_minibatch"](0.1)
    trace = simulate(cluster, minibatch, arrivals=80, seed=3)
    assert simulate(cluster, local, arrivals=80, seed=3) == trace
    one, other = (replay(trace, method, quadratic(sigma=1.0), every=4) for method in (local, minibatch))
    # Messages are merged one by one, not summed first: equal to rounding.
    torch.testing.assert_close(one.attrs["x"], other.attrs["x"], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-11)
    assert one["rounds"].tolist() == other["rounds"].tolist() and one["bytes"].tolist() == other["bytes"].tolist()


def test_a_broadcast_keeps_what_a_worker_has_not_sent():
    method, problem = HOGWILD(0.02, samples=20, growth="constant", gap=2, decay=0.01), quadratic(sigma=1.0)
    trace = simulate(clusters.Uniform((1.0,) * 4, (2.0,) * 4), method, arrivals=300)
    rule, unsent, kept = method.rule, [torch.zeros(5, dtype=torch.float64)] * 4, 0
    for step in by_hand(trace, method, problem):
        c = step.arrival.worker
        sends = step.after.clients[c].round > step.before.clients[c].round
        unsent[c] = torch.zeros_like(unsent[c]) if sends else unsent[c] + step.arrival.grad
        assert torch.equal(step.after.clients[c].total, unsent[c])
        if step.after.rounds > step.before.rounds:
            for client, U in zip(step.after.clients, unsent, strict=True):
                assert torch.equal(client.w, step.after.x - rule.lr_of(client.round, 4) * U)
                kept += bool(U.any())
        else:
            for worker in set(range(4)) - {c}:
                assert step.after.clients[worker] is step.before.clients[worker]
    assert kept > 10


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
    share = sizes(samples, growth, trace.n, 100)
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
    assert [rule.size(i, 4) for i in range(4)] == expected == sizes(10, growth, 4, 4)
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
