"""Each rule against its formula, written out again in plain Python."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from asgd_lib import METHODS, Row, clusters, policies, simulate
from asgd_lib.rules import MIFA, SGD, Arrival, Buffered, Counter, DelayAdaptive, DuDe, Rescaled, State

LR, X0 = 0.1, 3.0


def feed(rule, arrivals, n):
    """x and k after each of the arrivals (gradient, worker, delay[, seconds]) of one coordinate, and the last state."""
    state, path = rule.init(torch.tensor([X0], dtype=torch.float64), n), []
    for gradient, worker, delay, *seconds in arrivals:
        state = rule.receive(state, Arrival(torch.tensor([gradient], dtype=torch.float64), worker, delay, *(seconds or [1.0])))
        path.append((state.x.item(), state.k))
    return path, state


def follows(path, expected):
    """Every step as computed by hand, the counters exactly."""
    assert [k for _, k in path] == [k for _, k in expected]
    assert [x for x, _ in path] == pytest.approx([x for x, _ in expected], rel=1e-14)


def test_sgd_takes_the_whole_step_whatever_the_delay():
    path, _ = feed(SGD(LR), [(1.0, 0, 0), (-2.0, 1, 50), (0.5, 0, 3)], n=2)
    follows(path, [(2.9, 1), (3.1, 2), (3.05, 3)])


def test_delay_adaptive_divides_by_the_delay_beyond_n():
    # n = 2, and tau = delay + 1: full steps to tau = 2, then 2/3, 2/4, 2/10.
    path, _ = feed(DelayAdaptive(LR), [(2.0, 0, d) for d in (0, 1, 2, 3, 9)], n=2)
    follows(path, list(zip(X0 - LR * np.cumsum([2, 2, 4 / 3, 1, 2 / 5]), range(1, 6), strict=True)))


def test_delay_adaptive_by_dropping_keeps_tau_to_2n_and_returns_the_very_state_beyond():
    rule = DelayAdaptive(LR, drop=True)
    path, state = feed(rule, [(2.0, 0, d) for d in (0, 3, 4, 9)], n=2)
    follows(path, [(2.8, 1), (2.6, 2), (2.6, 2), (2.6, 2)])
    assert rule.receive(state, Arrival(torch.ones(1), 0, 4, 1.0)) is state


def test_text_is_no_answer_to_whether_late_gradients_are_dropped():
    with pytest.raises(ValueError, match="drop must be one of False, True; got 'false'"):
        DelayAdaptive(LR, drop="false")


def test_rescaled_with_known_times_steps_in_proportion_to_them():
    t = np.array([1.0, 2.0, 5.0])
    weights = t * np.mean(1 / t)
    path, _ = feed(Rescaled(LR, tuple(t)), [(1.0, 0, 0), (2.0, 2, 9), (-1.0, 1, 0)], n=3)
    follows(path, list(zip(X0 - LR * np.cumsum(weights[[0, 2, 1]] * (1, 2, -1)), (1, 2, 3), strict=True)))
    # At rates 1/t the mean weight of an arrival is 1: the mean step is lr.
    assert np.average(weights, weights=1 / t) == pytest.approx(1, rel=1e-15)


def test_rescaled_estimates_times_by_the_mean_of_a_workers_own():
    arrivals = [(1.0, 0, 0, 2.0), (1.0, 1, 0, 6.0), (1.0, 0, 0, 4.0), (1.0, 1, 0, 3.0)]
    # Mean times so far: (2, -), (2, 6), (3, 6), (3, 4.5).
    weights = [1, 6 * (1 / 2 + 1 / 6) / 2, 3 * (1 / 3 + 1 / 6) / 2, 4.5 * (1 / 3 + 1 / 4.5) / 2]
    path, _ = feed(Rescaled(LR), arrivals, n=2)
    follows(path, list(zip(X0 - LR * np.cumsum(weights), range(1, 5), strict=True)))


def test_rescaled_takes_times_of_zero_seconds_for_unknown():
    path, _ = feed(Rescaled(LR), [(1.0, 0, 0, 0.0), (1.0, 1, 0, 3.0), (1.0, 0, 0, 0.0)], n=2)
    follows(path, [(2.9, 1), (2.8, 2), (2.7, 3)])


def test_rescaled_needs_a_time_for_each_worker():
    with pytest.raises(ValueError, match="one time for each of the 3 workers; got 2"):
        Rescaled(LR, (1.0, 2.0)).init(torch.zeros(1), 3)
    with pytest.raises(ValueError, match="times must be"):
        Rescaled(LR, (1.0, 0.0))


@pytest.mark.parametrize(("size", "n"), [(3, 2), (None, 3)])
def test_buffered_steps_with_the_mean_of_three_and_starts_again(size, n):
    path, state = feed(Buffered(LR, size), [(g, 0, 9) for g in (1.0, 2.0, 6.0, -1.0, -1.0, 5.0, 4.0)], n)
    follows(path, [(3.0, 0), (3.0, 0), (2.7, 1), (2.7, 1), (2.7, 1), (2.6, 2), (2.6, 2)])
    assert (state.total.item(), state.count) == (4.0, 1)


@pytest.mark.parametrize("buffer", [0, -1, 1.5, "2", True])
def test_a_senseless_buffer_is_refused(buffer):
    with pytest.raises(ValueError, match="buffer must be a whole number of at least 1; got .* 1 applies every gradient at once"):
        Buffered(LR, buffer)


def test_dude_steps_with_everybodys_last_gradient():
    # Table: (1,-), (4,-), (4,2): full, step 3; (4,-2): step 1; (6,-2): step 2.
    arrivals = [(1.0, 0, 0), (4.0, 0, 0), (2.0, 1, 0), (-2.0, 1, 0), (6.0, 0, 0)]
    path, _ = feed(DuDe(LR), arrivals, n=2)
    follows(path, [(3.0, 0), (3.0, 0), (2.7, 1), (2.6, 2), (2.4, 3)])


def test_dude_waits_for_distinct_workers():
    # n = 3, two arrivals a step. The table fills at the third worker, in a batch that worker 0 began: (5, 2, 3).
    arrivals = [(1.0, 0, 0), (2.0, 1, 0), (5.0, 0, 0), (3.0, 2, 0), (8.0, 1, 0), (9.0, 1, 0), (4.0, 2, 0)]
    path, _ = feed(DuDe(LR, n_arrivals=2), arrivals, n=3)
    x1 = X0 - LR * (5 + 2 + 3) / 3
    follows(path, [(X0, 0)] * 3 + [(x1, 1)] * 3 + [(x1 - LR * (5 + 9 + 4) / 3, 2)])


@pytest.mark.parametrize("n_arrivals", [0, 4, 1.0, None])
def test_dude_refuses_a_count_that_cannot_be(n_arrivals):
    with pytest.raises(ValueError, match="n_arrivals must be a whole number of at least 1"):
        DuDe(LR, n_arrivals=n_arrivals).init(torch.zeros(1), 3)


def test_dude_refuses_an_unknown_warm_up():
    with pytest.raises(ValueError, match="warm_up must be one of 'continue', 'broadcast', 'next'; got 'cold'"):
        DuDe(LR, warm_up="cold")


def test_mifa_steps_once_a_round_with_everybodys_last_gradient():
    # n = 4 at participation 0.3: the first round needs all four, later ones ceil(1.2) = 2.
    arrivals = [(1.0, 0, 0), (2.0, 1, 0), (3.0, 2, 0), (4.0, 3, 0), (5.0, 2, 0), (8.0, 0, 0), (0.0, 1, 0)]
    path, _ = feed(MIFA(LR, 0.3), arrivals, n=4)
    x1 = X0 - LR * 10 / 4
    x2 = x1 - LR * (8 + 2 + 5 + 4) / 4
    follows(path, [(X0, 0)] * 3 + [(x1, 1), (x1, 1), (x2, 2), (x2, 2)])


def test_mifas_first_round_waits_for_everybody_whatever_the_participation():
    path, _ = feed(MIFA(LR, 0.5), [(1.0, 0, 0), (2.0, 1, 0), (3.0, 2, 0), (6.0, 0, 0), (6.0, 2, 0)], n=3)
    follows(path, [(X0, 0), (X0, 0), (X0 - LR * 2, 1), (X0 - LR * 2, 1), (X0 - LR * 2 - LR * 14 / 3, 2)])


@pytest.mark.parametrize("participation", [0.0, -0.1, 1.01, float("nan"), "all"])
def test_a_senseless_participation_is_refused(participation):
    with pytest.raises(ValueError, match="participation must be"):
        MIFA(LR, participation)


def test_the_counter_measures_delays_in_updates():
    counter = Counter(Buffered(LR, 2), 3)
    # Updates after e arrivals: 0 0 1 1 2.
    assert [counter.receive(0, read, 1.0) for read in (0, 0, 0, 2, 1)] == [0, 0, 1, 0, 2]
    assert counter.updates == [0, 0, 1, 1, 2, 2]


def test_a_new_method_is_one_class_and_one_row(monkeypatch):
    @dataclass(frozen=True)
    class Halved:
        lr: float

        def init(self, x0, n):
            return State(x0, 0, n)

        def receive(self, s, a):
            return State(s.x - self.lr / 2 * a.grad, s.k + 1, s.n)

    assert "halved" not in METHODS
    monkeypatch.setitem(METHODS, "halved", Row(policies.Greedy(), Halved, "ours"))
    method = METHODS["halved"](lr=0.2)
    assert (method.name, method.label, method.source) == ("halved", "halved", "ours")
    assert simulate(clusters.equal(2), method, arrivals=30) == simulate(clusters.equal(2), METHODS["asgd"](0.1), arrivals=30)
    with pytest.raises(TypeError, match="halved has no hyperparameter 'beta'; it takes lr."):
        METHODS["halved"](lr=0.2, beta=1)
    with pytest.raises(KeyError, match="There is no method 'adam'; the table has sgd_minibatch, asgd,"):
        METHODS["adam"]
