"""The rules of the field, each against its formula, written out again in plain Python."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import FIXED, RANDOM, by_hand, quadratic
from test_rules import LR, X0, feed, follows

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.rules import (
    ACED,
    CA2FL,
    DASA,
    Arrival,
    Chosen,
    DelayFilter,
    FedAsync,
    FirstK,
    Malenia,
    MindFlayer,
    Picky,
    Rennala,
    Ringmaster,
    StalenessAware,
    Vecna,
    update_delays,
)

BATCH = r"batch must be a whole number of at least 1"


def test_rennala_takes_the_mean_of_fresh_gradients_and_returns_the_very_state_for_others():
    rule = Rennala(LR, 3)
    path, state = feed(rule, [(1.0, 0, 0), (9.0, 1, 1), (2.0, 0, 0), (6.0, 0, 0), (9.0, 1, 2), (3.0, 1, 0)], n=2)
    follows(path, [(3.0, 0), (3.0, 0), (3.0, 0), (2.7, 1), (2.7, 1), (2.7, 1)])
    assert (state.total.item(), state.count) == (3.0, 1)
    assert rule.receive(state, Arrival(torch.ones(1), 0, 1, 1.0)) is state
    follows(feed(Rennala(LR), [(1.0, 0, 0), (3.0, 0, 0)], n=2)[0], [(3.0, 0), (2.8, 1)])  # by default a batch of n


def test_malenia_weighs_workers_alike_and_waits_for_the_harmonic_mean():
    # n = 2, S = 3: n^2 = 4 >= 3 (1/B_0 + 1/B_1) needs B = (2, 2) or (3, 1): 3 (1/3 + 1) = 4, but (2, 1) gives 4.5.
    arrivals = [(1.0, 0, 0), (9.0, 1, 3), (2.0, 0, 0), (5.0, 1, 0), (6.0, 0, 0), (4.0, 0, 0)]
    path, state = feed(Malenia(LR, 3), arrivals, n=2)
    follows(path, [(3.0, 0)] * 4 + [(3.0 - LR * (3.0 + 5.0) / 2, 1)] * 2)
    assert state.counts == (1, 0) and state.totals[0].item() == 4.0
    # By default as soon as everybody has given one, however many the others gave.
    path, _ = feed(Malenia(LR), [(g, 0, 0) for g in (1.0, 2.0, 3.0)] + [(8.0, 1, 0)], n=2)
    follows(path, [(3.0, 0)] * 3 + [(3.0 - LR * (2 + 8) / 2, 1)])


def test_malenia_on_one_worker_needs_exactly_its_batch():
    for batch in range(1, 200):  # rounding must not ask for one more, nor for one less
        _, state = feed(Malenia(LR, batch), [(1.0, 0, 0)] * (batch - 1), n=1)
        assert state.k == 0
        assert Malenia(LR, batch).receive(state, Arrival(torch.ones(1), 0, 0, 1.0)).k == 1


def test_the_delay_filter_is_heavy_ball_over_batches_of_fresh_gradients():
    path, _ = feed(DelayFilter(LR, 0.5, batch=2), [(1.0, 0, 0), (3.0, 0, 0), (9.0, 1, 1), (4.0, 0, 0), (0.0, 1, 0)], n=3)
    u1 = LR * 2.0
    follows(path, [(X0, 0)] + [(X0 - u1, 1)] * 3 + [(X0 - u1 - (0.5 * u1 + LR * 2.0), 2)])


@pytest.mark.parametrize("stop", [False, True])
def test_ringmaster_keeps_delays_below_its_threshold(stop):
    rule = Ringmaster(LR, 3, stop)
    path, state = feed(rule, [(1.0, 0, 0), (2.0, 0, 2), (1.0, 0, 3), (1.0, 0, 40)], n=2)
    follows(path, [(2.9, 1), (2.7, 2), (2.7, 2), (2.7, 2)])
    assert rule.receive(state, Arrival(torch.ones(1), 0, 3, 1.0)) is state
    path, _ = feed(Ringmaster(LR, None, stop), [(1.0, 0, 1), (1.0, 0, 2)], n=2)  # by default n
    follows(path, [(2.9, 1), (2.9, 1)])
    path, _ = feed(Ringmaster(LR, math.inf, stop), [(1.0, 0, 10**6)], n=2)
    follows(path, [(2.9, 1)])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_staleness_aware_steps(power):
    path, _ = feed(StalenessAware(LR, power), [(2.0, 0, d) for d in (0, 1, 3)], n=2)
    weights = [1, 2**-power, 4**-power]
    follows(path, list(zip(X0 - 2 * LR * np.cumsum(weights), (1, 2, 3), strict=True)))


def test_picky_refuses_a_gradient_when_the_model_has_moved_too_far():
    # Worker 1 computes at 3.0; worker 0 moves the model by 0.2 at a time. At 2.8 the gradient counts, from 2.6 it does not.
    for moves, x in ((1, 2.7), (2, 2.6)):
        path, _ = feed(Picky(LR, 0.3), [(2.0, 0, 0)] * moves + [(1.0, 1, 7), (1.0, 1, 0)], n=2)
        assert path[-2] == (pytest.approx(x, rel=1e-14), moves + 1)
        assert path[-1] == (pytest.approx(x - LR, rel=1e-14), moves + 2)  # and it begins again at the present model


def test_each_run_is_picky_for_itself():
    rule = Picky(LR, 0.3)
    state = rule.init(torch.tensor([[3.0], [3.0]]), 2)
    state = rule.receive(state, Arrival(torch.tensor([[1.0], [9.0]]), 0, 0, 1.0))
    state = rule.receive(state, Arrival(torch.tensor([[1.0], [1.0]]), 1, 1, 1.0))
    assert state.x.flatten().tolist() == pytest.approx([2.8, 2.1]) and state.k == 2


def test_fedasync_mixes_the_workers_model_in():
    # Worker 1 has 3.0 all along: weights 0.5, then 0.5 / sqrt(2) for a model one update old.
    path, _ = feed(FedAsync(LR, 0.5), [(1.0, 0, 0), (1.0, 1, 9)], n=2)
    x1 = 0.5 * 3.0 + 0.5 * 2.9
    weight = 0.5 / 2**0.5
    follows(path, [(x1, 1), ((1 - weight) * x1 + weight * 2.9, 2)])


def test_the_server_knows_which_model_each_worker_has():
    """On every trace: with what `read` says, a worker's gradient belongs to the model after its own last arrival."""
    method = METHODS["picky"](LR)
    steps = by_hand(simulate(RANDOM, method, arrivals=60, seed=1), method, quadratic())
    sent = {w: steps[0].before.x for w in range(4)}
    for step in steps:
        w = step.arrival.worker
        assert torch.equal(method.rule.read(step.before, w), sent[w]) and step.before.versions[w] == step.before.k - step.arrival.delay
        sent[w] = step.after.x


def test_ca2fl_corrects_the_buffers_mean_by_the_cache():
    arrivals = [(1.0, 0, 0), (5.0, 1, 0), (2.0, 0, 0), (4.0, 0, 0), (7.0, 2, 0), (3.0, 1, 0)]
    path, state = feed(CA2FL(LR, 2), arrivals, n=3)
    v1 = 0 + (1 + 5) / 2
    v2 = (1 + 5) / 3 + ((2 - 1) + (4 - 1)) / 2  # twice worker 0: both differences are to its gradient as of the last step
    v3 = (4 + 5) / 3 + ((7 - 0) + (3 - 5)) / 2  # and the later one is kept
    x = X0 - LR * np.cumsum([v1, v2, v3])
    follows(path, [(X0, 0), (x[0], 1), (x[0], 1), (x[1], 2), (x[1], 2), (x[2], 3)])
    assert state.h.item() == pytest.approx((4 + 3 + 7) / 3)


def test_dasa_steps_with_the_fresher_half():
    # n = 3. Full at the third arrival: ages 0, 0, 0. Then worker 0 reads version 0 (age 1 after...).
    arrivals = [(1.0, 0, 0), (2.0, 1, 0), (6.0, 2, 0), (4.0, 0, 1), (8.0, 0, 0), (5.0, 1, 1)]
    path, state = feed(DASA(LR), arrivals, n=3)
    # k = 1: versions (0, 0, 0), ages (1, 1, 1): all. k = 2: (2, 0, 0): ages (0, 2, 2): median 2, all.
    # k = 3: (2, 2, 0): ages (1, 1, 3): median 1, the first two.
    x = X0 - LR * np.cumsum([(1 + 2 + 6) / 3, (4 + 2 + 6) / 3, (8 + 2 + 6) / 3, (8 + 5) / 2])
    follows(path, [(X0, 0), (X0, 0), (x[0], 1), (x[1], 2), (x[2], 3), (x[3], 4)])
    assert state.versions == (2, 2, 0)


def test_aced_drops_what_is_too_old():
    arrivals = [(1.0, 0, 0), (2.0, 1, 0), (6.0, 2, 0), (4.0, 0, 1), (8.0, 0, 0), (5.0, 1, 1), (5.0, 1, 3)]
    path, _ = feed(ACED(LR, 1), arrivals, n=3)
    # Ages (0, 0, 0); (1, 1, 1); (0, 2, 2): worker 0 alone; (1, 1, 3): the first two; (2, 3, 4): nobody, no step.
    x = X0 - LR * np.cumsum([(1 + 2 + 6) / 3, (4 + 2 + 6) / 3, 8.0, (8 + 5) / 2])
    follows(path, [(X0, 0), (X0, 0), (x[0], 1), (x[1], 2), (x[2], 3), (x[3], 4), (x[3], 4)])


def test_the_first_k_are_half_by_default():
    path, _ = feed(FirstK(LR), [(g, 0, 9) for g in (1.0, 2.0, 6.0, -1.0)], n=5)
    follows(path, [(3.0, 0), (3.0, 0), (2.7, 1), (2.7, 1)])
    with pytest.raises(ValueError, match="k must be a whole number of at least 1 and at most 3; got 4. The server waits for distinct"):
        FirstK(LR, 4).init(torch.zeros(1), 3)


def test_mindflayer_divides_by_the_expected_number():
    # Two trials of probability 0.5 and one of 0.25 are 1.25 gradients; a round's first has delay 0, its others 1.
    rule = MindFlayer(LR, (2, 1), 5.0, (0.5, 0.25))
    path, _ = feed(rule, [(1.0, 0, 0), (4.0, 0, 1), (2.0, 1, 1), (5.0, 1, 0)], n=2)
    x = X0 - LR * np.array([1, 5, 7, 12]) / 1.25
    follows(path, list(zip(x, (1, 1, 1, 2), strict=True)))
    assert rule.expected(2) == 1.25 and MindFlayer(LR, 3, 1.0, 0.5).expected(4) == 6.0


def test_vecna_divides_by_each_workers_expected_number():
    path, _ = feed(Vecna(LR, (2, 1), 5.0, (0.5, 0.25)), [(1.0, 0, 0), (4.0, 0, 1), (2.0, 1, 1)], n=2)
    follows(path, list(zip(X0 - LR * np.array([1, 5, 5 + 8]) / 2, (1, 1, 1), strict=True)))


@pytest.mark.parametrize(("name", "unbiased"), [("mindflayer", False), ("vecna", True)])
def test_vecna_alone_is_unbiased_when_chances_differ(name, unbiased):
    """Worker 1 takes 4 s or less with probability 1 - e^{-1}, the others always; f_i = (x - i)^2 / 2, minimised at 1."""
    problem = quadratic(3, 1).__class__(torch.ones(3, 1), torch.tensor([[0.0], [3.0], [0.0]]))
    chance = 1 - math.exp(-1)
    cluster = Mixed(clusters.Fixed((1.0, 1.0, 1.0)), clusters.Exponential((4.0,) * 3))
    method = METHODS[name](0.002, limit=4.0, success=(1.0, chance, 1.0))
    x = replay(simulate(cluster, method, arrivals=30_000, seed=1), method, problem, every=30_000).attrs["x"].item()
    expected = 1.0 if unbiased else 3 * chance / (2 + chance)
    assert x == pytest.approx(expected, abs=0.06)  # four standard deviations; the two limits are 0.28 apart


@dataclass(frozen=True)
class Mixed:
    """Worker 1 of `second`, the others of `first`."""

    first: clusters.Cluster
    second: clusters.Cluster

    @property
    def n(self):
        return self.first.n

    def clock(self, seed):
        clocks = self.first.clock(seed), self.second.clock(seed)
        return lambda worker, index, start: clocks[worker == 1](worker, index, start)


def test_naive_optimal_is_asgd_without_the_others():
    method, two = METHODS["naive_optimal"](LR, workers=(0, 2)), METHODS["asgd"](LR)
    trace, other = simulate(FIXED, method, arrivals=80), simulate(clusters.Fixed((1.0, 2.0)), two, arrivals=80)
    assert np.array_equal(trace.worker, 2 * other.worker)
    assert np.array_equal(trace.end, other.end) and np.array_equal(trace.read, other.read)
    assert set(trace.lost["worker"]) == {0, 2}


def ringleader_by_the_book(trace, problem, lr):
    """The algorithm as two phases a round, without states: the server's models after each arrival."""
    n, x, models, path = trace.n, problem.x0, {}, []
    rows = iter([(int(w), int(j)) for w, j in zip(trace.worker, trace.job, strict=True)])
    for i in range(n):
        models[i] = x
    grads = {i: [] for i in range(n)}

    def next_gradient():
        i, job = next(rows)
        at = torch.tensor([i]), torch.tensor([job]), torch.tensor([0])
        return i, problem.grad(models[i][None, None], *at)[0, 0]

    def estimate():
        return sum(torch.stack(grads[j]).mean(0) for j in range(n)) / n

    try:
        while True:
            while not all(grads.values()):
                i, g = next_gradient()
                grads[i].append(g)
                if all(grads.values()):
                    break
                path.append(x)
            x = x - lr * estimate()
            path.append(x)
            models[i], served, later = x, {i}, {j: [] for j in range(n)}
            while len(served) < n:
                i, g = next_gradient()
                if i in served:
                    later[i].append(g)
                else:
                    grads[i].append(g)
                    x = x - lr * estimate()
                    models[i] = x
                    served.add(i)
                path.append(x)
            grads = later  # without one of the last to be served, who has just begun
    except StopIteration:
        return path


@pytest.mark.parametrize("cluster", [FIXED, RANDOM, clusters.equal(3), clusters.straggler(5, 9.0)], ids=repr)
def test_ringleader_is_its_two_phases(cluster):
    method, problem = METHODS["ringleader"](0.1), quadratic(cluster.n, sigma=0.5)
    trace = simulate(cluster, method, arrivals=150, seed=2)
    steps, book = by_hand(trace, method, problem), ringleader_by_the_book(trace, problem, 0.1)
    assert len(book) >= 149
    for step, x in zip(steps, book, strict=False):
        torch.testing.assert_close(step.after.x, x, rtol=1e-12, atol=1e-13)
    # Every round makes n updates, and takes at most twice the slowest time (on fixed times).
    ends = [e for e, step in enumerate(steps) if step.before.k < step.after.k and step.after.k % cluster.n == 0]
    assert len(ends) > 3
    if hasattr(cluster, "seconds"):
        assert np.diff(trace.end[ends]).max() <= 2 * max(cluster.seconds) + 1e-9


@pytest.mark.parametrize("cluster", [FIXED, RANDOM, clusters.straggler(5, 9.0)], ids=repr)
def test_ringleaders_models_are_at_most_2n_minus_2_updates_old(cluster):
    method, problem, n = METHODS["ringleader"](0.01), quadratic(cluster.n, sigma=0.5), cluster.n
    steps = by_hand(simulate(cluster, method, arrivals=400, seed=2), method, problem)
    used, sent, ages = dict.fromkeys(range(n), 0), {}, []  # updates that each worker's model had seen: in this round's sums, in the next's
    for s in steps:
        if s.after.k > s.before.k:
            ages.append(max(s.before.k - version for version in used.values()))
            sent[s.arrival.worker] = s.after.k
        if len(sent) == n:
            used, sent = sent, {}
    assert ages[:n] == list(range(n)) and len(ages) > 4 * n
    assert set(ages[n:]) == set(range(n - 1, 2 * n - 1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Chosen(LR, ()), "workers must name at least one worker, and none twice"), (lambda: Chosen(LR, (1, 1)), "none twice"),
        (lambda: Chosen(LR, (0, 3)).init(torch.zeros(1), 3), "every worker must be a whole number of at least 0 and at most 2; got 3"),
        (lambda: Rennala(LR, 0), BATCH), (lambda: Malenia(LR, 1.5), BATCH), (lambda: DelayFilter(LR, batch=0), BATCH),
        (lambda: DelayFilter(LR, 1.0), r"momentum must be in \[0, 1\)"),
        (lambda: Ringmaster(LR, 0), "threshold must be a whole number of at least 1; got 0. math.inf keeps every gradient"),
        (lambda: StalenessAware(LR, -1.0), "power must be"), (lambda: Picky(LR, 0.0), "radius must be"),
        (lambda: FedAsync(LR, 0.0), "mixing must be"), (lambda: FedAsync(LR, 1.5), r"mixing must be in \[0, 1\]"),
        (lambda: FedAsync(LR, 0.5, -1.0), "power must be"), (lambda: CA2FL(LR, 0), "buffer must be"),
        (lambda: FirstK(LR, 0), "k must be a whole number"), (lambda: ACED(LR, -1), "oldest must be"),
        (lambda: MindFlayer(LR, 0), "trials must be"), (lambda: MindFlayer(LR, 1, 0.0), "limit must be"),
        (lambda: MindFlayer(LR, success=0.0), "success must be"), (lambda: MindFlayer(LR, success=1.1), "success must be"),
        (lambda: MindFlayer(LR, (2,)).init(torch.zeros(1), 3), r"trials must be one number, or one for each of the 3 workers; got \(2,"),
        (lambda: MindFlayer(LR, limit=[2.0]).init(torch.zeros(1), 3), r"limit must be one number, or one for each of the 3 workers; got"),
        (lambda: MindFlayer(LR, (1, 2)).init(torch.zeros(1), 3), r"trials must be one number, or one for each of the 3 workers; got \(1"),
    ],
)  # fmt: skip
def test_senseless_numbers_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_delays_of_the_thrown_away_are_counted_in_updates():
    method = METHODS["rennala"](LR, batch=3)
    trace = simulate(FIXED, method, arrivals=200)
    delays, kept = update_delays(trace, method.rule), 0
    for step, delay in zip(by_hand(trace, method, quadratic()), delays, strict=True):
        assert (step.after is step.before) == (delay > 0)
        kept += delay == 0
        assert step.after.k == kept // 3
