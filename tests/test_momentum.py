"""Momentum on asynchronous gradients: formulas, batches of momenta, and the border of stability against theory."""

import numpy as np
import pytest
import torch
from cases import by_hand, quadratic

from asgd_lib import METHODS, clusters, replay, simulate, theory
from asgd_lib.critical import critical_lr
from asgd_lib.rules import SMEGA2, Arrival, NaiveMomentum, ShiftedMomentum
from asgd_lib.rules.momentum import power
from asgd_lib.theory.stability import first_unstable

LR, BETA = 0.1, 0.9


@pytest.mark.parametrize("name", ["ormo", "ormo_da", "asgd_naive_momentum", "sgd_minibatch"])
def test_step_sizes_and_momenta_share_a_batch_bit_by_bit(name):
    # A straggler makes high powers of the momentum, and nine runs more than a vector register holds.
    problem = quadratic(sigma=1.0)
    methods = [METHODS[name](0.001 * i, momentum=0.99 - 0.05 * i) for i in range(1, 10)]
    trace = simulate(clusters.straggler(4, 15.0), methods[0], arrivals=160)
    together = replay(trace, methods, problem, every=160).attrs["x"]
    for method, x in zip(methods, together, strict=True):
        assert torch.equal(replay(trace, method, problem, every=160).attrs["x"][0], x)
    assert torch.equal(by_hand(trace, method, problem)[-1].after.x, x)


def test_powers_round_alike_alone_and_together():
    # torch's own power does not: it takes another path for what fills a vector register.
    base = torch.linspace(0.5, 0.99, 67, dtype=torch.float64).view(-1, 1)
    for exponent in (*range(20), 250):
        together = power(base, exponent) * torch.ones_like(base)
        assert torch.equal(together, torch.cat([power(row[None], exponent) * torch.ones(1, 1).double() for row in base]))
        assert together[:, 0].tolist() == [power(float(row), exponent) for row in base]
        np.testing.assert_allclose(together, base.numpy() ** exponent, rtol=1e-13)


# Stability


@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("ormo", theory.critical_step_ormo),
        ("asgd_naive_momentum", theory.critical_step_naive_momentum),
        ("sgd_minibatch", lambda n, momentum: theory.critical_step_minibatch(n, momentum=momentum)),
    ],
)
def test_critical_steps_are_those_of_replay(name, formula, n):
    expected = formula(n, BETA)
    found = critical_lr(clusters.equal(n), lambda lr: METHODS[name](lr, momentum=BETA), low=0.8 * expected, high=1.3 * expected, steps=13)
    assert found == pytest.approx(expected, rel=4e-3)  # half a step of the second sweep is 0.17 %


def test_critical_steps_of_four_workers_at_momentum_09():
    # Reference values of other hands, to the digits written down; the naive one was 0.0351, 1 % more than the exact border.
    assert theory.critical_step_ormo(4, 0.9) == pytest.approx(0.199, abs=1e-3)
    assert theory.critical_step_naive_momentum(4, 0.9) == pytest.approx(0.0351, rel=0.01)
    assert theory.critical_step_minibatch(4, summed=True, momentum=0.9) == pytest.approx(0.95, rel=1e-12)


@pytest.mark.parametrize("n", [1, 3, 5, 12])
def test_critical_steps_with_momentum_have_known_limits(n):
    for formula in (theory.critical_step_ormo, theory.critical_step_naive_momentum):
        assert formula(n, 0.0) == pytest.approx(theory.critical_step_asgd(n), rel=1e-9)
        assert formula(1, BETA) == pytest.approx(2 * (1 + BETA), rel=1e-9)
    # x_{t+1} = (1 + beta) x_t - beta x_{t-1} - lr x_{t-n+1}: the first crossing of the unit circle, angle by angle.
    z = np.exp(1j * np.linspace(1e-6, np.pi, 400_001))
    lr = -(z - 1) * (z - BETA) * z ** (n - 2)
    crossings = lr.real[:-1][(np.diff(np.sign(lr.imag)) != 0) & (lr.real[:-1] > 0)]
    known = [*crossings, *([2 * (1 + BETA)] if n == 1 else [])]
    assert theory.critical_step_naive_momentum(n, BETA) == pytest.approx(min(known), rel=1e-4)


@pytest.mark.parametrize("n", [2, 4, 12])
@pytest.mark.parametrize("rest", [1e-3, 1e-6, 1e-9])
def test_the_critical_step_of_naive_momentum_vanishes_with_1_minus_beta(n, rest):
    # (z - 1)(z - beta) = -lr z^(2 - n) about z = 1: to first order |z| = 1 where lr (n - 1) = 1 - beta.
    assert theory.critical_step_naive_momentum(n, 1 - rest) == pytest.approx(rest / (n - 1), rel=5 * n * rest + 1e-5)


def test_where_arithmetic_tells_no_step_that_is_stable_it_is_said():
    with pytest.raises(ValueError, match="take a momentum less near to 1"):
        first_unstable(lambda lr: 1.0, 1e-3)


@pytest.mark.parametrize("formula", [theory.critical_step_ormo, theory.critical_step_naive_momentum])
def test_senseless_arguments_of_critical_steps_are_refused(formula):
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        formula(0, 0.5)
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\); got 1.0"):
        formula(2, 1.0)


# The other momenta, in one coordinate, written out


def feed(rule, arrivals, n):
    """x after each arrival (gradient, worker), from 3."""
    states = [rule.init(torch.tensor([3.0], dtype=torch.float64), n)]
    for gradient, worker in arrivals:
        states.append(rule.receive(states[-1], Arrival(torch.tensor([gradient], dtype=torch.float64), worker, 0, 1.0)))
    return states


def test_naive_momentum_keeps_nine_tenths_of_every_step():
    states = feed(NaiveMomentum(LR, 0.5), [(1.0, 0), (2.0, 1), (-4.0, 0)], 2)
    assert [s.x.item() for s in states] == pytest.approx([3.0, 2.9, 2.65, 2.925], rel=1e-14)  # u = 0.1, 0.25, -0.275


def test_smega2_reads_where_the_momentum_will_have_carried_the_model():
    rule = SMEGA2(LR, 0.5)
    states = feed(rule, [(1.0, 0), (2.0, 1)], 3)
    assert [s.x.item() for s in states] == pytest.approx([3.0, 2.9, 2.65], rel=1e-14)
    assert [rule.read(s, 0).item() for s in states] == pytest.approx([3.0, 2.9 - 0.75 * 0.1, 2.65 - 0.75 * 0.25], rel=1e-14)
    coasting = feed(rule, [(1.0, 0), (0.0, 0), (0.0, 0)], 3)  # n - 1 updates later, if no gradient comes
    assert rule.read(coasting[1], 0).item() == pytest.approx(coasting[3].x.item(), rel=1e-14)


def test_shifted_momentum_adds_a_gradient_to_the_momentum_its_worker_read():
    states = feed(ShiftedMomentum(LR, 0.5), [(1.0, 0), (2.0, 1), (4.0, 0), (0.0, 1)], 2)
    # u: 0.1 for worker 0; 0.2 for worker 1, which has read none; 0.05 + 0.4; 0.1.
    assert [s.x.item() for s in states] == pytest.approx([3.0, 2.9, 2.7, 2.25, 2.15], rel=1e-14)


@pytest.mark.parametrize("momentum", [1.0, -0.1, float("nan"), "0.9"])
@pytest.mark.parametrize("name", ["ormo", "ormo_da", "asgd_naive_momentum", "shifted_momentum", "smega2"])
def test_a_senseless_momentum_is_refused(name, momentum):
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\)"):
        METHODS[name](LR, momentum=momentum)


def test_a_senseless_threshold_is_refused():
    with pytest.raises(ValueError, match="threshold must be a finite number above 0; got 0"):
        METHODS["ormo_da"](LR, threshold=0)
