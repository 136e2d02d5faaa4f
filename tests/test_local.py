"""Workers with models of their own: against an event loop written out, and against synchronous loops."""

import heapq
import math

import numpy as np
import pytest
import torch
from cases import FIXED, RANDOM, by_hand, local_sizes, quadratic

from asgd_lib import METHODS, clusters, replay, simulate

HOGWILD = METHODS["hogwild_local"]
TIMES = (1.0, 2**0.5, 3.3)  # s; no two gradients end together


def grad(problem, worker, w):
    return problem.A[worker] * w - problem.b[worker]


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
    share = local_sizes(samples, growth, 3, 60)
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
