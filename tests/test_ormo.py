"""Ordered momentum against its closed form, in any order of arrival, and its limits, and its delay-adaptive form."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import any_cluster, by_hand, quadratic
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib import METHODS, Method, clusters, replay, simulate
from asgd_lib.policies import Barrier
from asgd_lib.rules import Arrival, NaiveMomentum, OrMo, OrMoDA

LR, BETA = 0.1, 0.9
X0 = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def ceil(a, b):
    return -(-a // b)


def any_order(n, arrivals, seed):
    """(gradient, index of the model it read) of workers that deliver in any order: some are asleep for long."""
    draw = np.random.default_rng(seed)
    speed, holds, rows = draw.exponential(size=n) + 1e-3, [0] * n, []
    for t in range(arrivals):
        worker = draw.choice(n, p=speed / speed.sum())
        rows.append((torch.tensor(draw.standard_normal(3)), holds[worker]))
        holds[worker] = t + 1
    return rows


def run(rule, rows, n):
    """The states after 0, 1, ... arrivals."""
    states = [rule.init(X0, n)]
    for t, (grad, index) in enumerate(rows):
        states.append(rule.receive(states[-1], Arrival(grad, 0, t - index, 1.0)))
    return states


def closed_form(rows, n, beta=BETA, lr=LR):
    """x and u after these arrivals, as sums over buckets b_j = ceil(index_j / n)."""
    c = ceil(len(rows) - 1, n)
    late = [c - ceil(index, n) for _, index in rows]
    assert min(late) >= 0
    u = sum(beta**e * lr * g for e, (g, _) in zip(late, rows, strict=True))
    return X0 - sum((1 - beta ** (e + 1)) / (1 - beta) * lr * g for e, (g, _) in zip(late, rows, strict=True)), u


def distance(state, expected):
    return max((state.x - expected[0]).abs().max().item(), (state.u - expected[1]).abs().max().item())


@pytest.mark.parametrize("n", [1, 2, 4, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_momentum_and_model_have_a_closed_form(n, seed):
    rows = any_order(n, 300, seed)
    states = run(OrMo(LR, BETA), rows, n)
    assert n == 1 or max(t - i for t, (_, i) in enumerate(rows)) > 2 * n  # some are very late
    assert max(distance(states[t], closed_form(rows[:t], n)) for t in range(1, 301)) < 1e-12


@given(any_cluster(), st.integers(0, 3))
def test_on_any_cluster_no_gradient_is_ahead_of_its_bucket(cluster, seed):
    trace = simulate(cluster, METHODS["ormo"](LR), arrivals=60, seed=seed)
    t = np.arange(60)
    late = np.ceil(t / trace.n) - np.ceil(trace.read / trace.n)
    assert late.min() >= 0
    draw = torch.Generator().manual_seed(seed)
    rows = [(g, int(i)) for g, i in zip(torch.randn(60, 3, generator=draw, dtype=torch.float64), trace.read, strict=True)]
    assert distance(run(OrMo(LR, BETA), rows, trace.n)[-1], closed_form(rows, trace.n)) < 1e-12


def shuffled(rows, seed):
    """The same arrivals in another order in which none comes before the model that it read."""
    rows, draw = list(rows), np.random.default_rng(seed)
    for t in draw.integers(len(rows) - 1, size=50 * len(rows)):
        if rows[t + 1][1] <= t:
            rows[t], rows[t + 1] = rows[t + 1], rows[t]
    return rows


@dataclass(frozen=True)
class OpensLater(OrMo):
    """The other bucket test, n | t."""

    def receive(self, s, a):
        t, n, beta, x, u = s.k, s.n, self.momentum, s.x, s.u
        if t >= 1 and t % n == 0:
            u = beta * u
            x = x - u
        e = ceil(t, n) - ceil(t - a.delay, n)
        step = self.lr * a.grad
        return type(s)(x - (1 - beta ** (e + 1)) / (1 - beta) * step, t + 1, n, u + beta**e * step)


def by_order(rule, seed):
    """How far the ends of two orders of the same arrivals lie apart, and how far the first lies from the closed form."""
    n, rows = 4, any_order(4, 200, seed)
    other = shuffled(rows, seed)
    assert sum(a is not b for a, b in zip(rows, other, strict=True)) > 100
    one, two = run(rule, rows, n)[-1], run(rule, other, n)[-1]
    return distance(one, (two.x, two.u)), distance(one, closed_form(rows, n))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_arrival_does_not_matter(seed):
    assert max(by_order(OrMo(LR, BETA), seed)) < 1e-12
    assert min(by_order(OrMo(LR, BETA, plain_step=True), seed)) > 1e-3  # the ablation keeps only u


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_the_other_bucket_test_it_does(seed):
    assert min(by_order(OpensLater(LR, BETA), seed)) > 1e-3


def test_the_plain_step_changes_the_model_and_not_the_momentum():
    rows = any_order(3, 100, 5)
    states, plain = run(OrMo(LR, BETA), rows, 3), run(OrMo(LR, BETA, plain_step=True), rows, 3)
    assert all(torch.equal(a.u, b.u) for a, b in zip(states, plain, strict=True))
    x, u = X0, torch.zeros(3, dtype=torch.float64)
    for t, (g, index) in enumerate(rows):
        if t and (t - 1) % 3 == 0:
            u = BETA * u
            x = x - u
        x, u = x - LR * g, u + BETA ** (ceil(t, 3) - ceil(index, 3)) * LR * g
        torch.testing.assert_close(plain[t + 1].x, x, rtol=1e-13, atol=1e-14)


def test_one_worker_is_heavy_ball():
    rows = [(g, t) for t, (g, _) in enumerate(any_order(1, 400, 0))]
    ordered, naive = run(OrMo(LR, BETA), rows, 1), run(NaiveMomentum(LR, BETA), rows, 1)
    assert max(distance(a, (b.x, b.u)) for a, b in zip(ordered, naive, strict=True)) < 1e-13


@pytest.mark.parametrize("n", [2, 4])
def test_behind_a_barrier_the_model_is_the_look_ahead_of_heavy_ball(n):
    problem, rounds = quadratic(n, sigma=0.0), 60
    method = Method(Barrier(), OrMo(LR / n, BETA))
    steps = by_hand(simulate(clusters.Exponential((1.0,) * n), method, arrivals=n * rounds), method, problem)
    W, U = problem.x0, torch.zeros_like(problem.x0)
    for r in range(rounds):
        ahead = W - BETA * U
        grads = problem.A * ahead - problem.b
        U = BETA * U + LR / n * grads.sum(0)
        W = W - U
        x = steps[n * (r + 1) - 1].after.x
        torch.testing.assert_close(x, W - BETA * U, rtol=0, atol=1e-13)
        assert r > 20 or (x - W).abs().max() > 1e-6


@pytest.mark.parametrize("delay", [0, 1, 2, 3, 11, 47])
def test_every_gradient_weighs_the_same_in_the_end(delay):
    n, at = 3, 50
    for arrival in range(at, at + n):
        rows = [(torch.ones(3, dtype=torch.float64) * (t == arrival), t - delay if t == arrival else t) for t in range(1300)]
        states = run(OrMo(LR, BETA), rows, n)
        torch.testing.assert_close(X0 - states[-1].x, torch.full_like(X0, LR / (1 - BETA)), rtol=1e-12, atol=0)
        assert (X0 - states[arrival + 1].x).max() < 0.9 * LR / (1 - BETA) or delay > 20  # at first only what is due so far


# OrMo-DA


def test_delay_adaptive_steps_shrink_beyond_the_threshold():
    rule = OrMoDA(LR, 0.0, threshold=2)  # without momentum the step itself is seen
    zero, one = rule.init(torch.zeros(1, dtype=torch.float64), 4), torch.ones(1, dtype=torch.float64)
    state = zero._replace(k=100)
    steps = {d: -rule.receive(state, Arrival(one, 0, d, 1.0)).x.item() for d in (0, 8, 9, 40)}
    assert steps == pytest.approx({0: LR, 8: LR, 9: LR * 4 / 9, 40: LR / 10}, rel=1e-15)


def test_it_is_ormo_where_no_delay_exceeds_2n():
    problem = quadratic(sigma=1.0)
    for cluster, same in [(clusters.Fixed((1.0, 1.25, 1.5, 2.0)), True), (clusters.straggler(4, 12.0), False)]:
        trace = simulate(cluster, METHODS["ormo"](LR), arrivals=200)
        assert (trace.delays.max() <= 8) == same
        x, y = (replay(trace, METHODS[name](0.02), problem).attrs["x"] for name in ("ormo", "ormo_da"))
        assert torch.equal(x, y) == same
