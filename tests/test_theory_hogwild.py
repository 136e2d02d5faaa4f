"""Hogwild-local's formulas against the rule's own sizes, closed forms, recursions and autograd."""

import math

import numpy as np
import pytest
import torch

from asgd_lib import theory
from asgd_lib.problems import LeastSquares, LogisticRegression, Softmax
from asgd_lib.rules import HogwildLocal


@pytest.mark.parametrize(("samples", "arrivals", "rounds"), [(10, 10**4, 45), (10, 10**6, 447), (50, 10**5, 63), (50, 10**6, 200)])
def test_linear_sizes_need_the_square_root_of_k_rounds(samples, arrivals, rounds):
    assert round(theory.hogwild_rounds(arrivals, samples)) == rounds
    rule = HogwildLocal(0.1, samples=samples)
    assert rule.before(rounds - 2, 1) < arrivals <= rule.before(rounds + 2, 1)


def test_constant_sizes_need_more_by_the_ratio():
    assert theory.hogwild_round_ratio(10_000, 50) == pytest.approx((10_000 / 50) / theory.hogwild_rounds(10_000, 50))


@pytest.mark.parametrize(("t", "delay"), [(10**3, 11), (10**4, 31), (10**5, 89), (10**6, 259)])
def test_permissible_delay_has_its_reference_values(t, delay):
    assert abs(theory.hogwild_permissible_delay(t) - delay) < 1


def test_there_is_no_permissible_delay_at_the_beginning():
    with pytest.raises(ValueError, match="t must be above e"):
        theory.hogwild_permissible_delay(2.0)


def test_bounds_have_their_constants():
    t, N, mu, L = np.array([1e6, 4e6]), 3.0, 0.5, 2.0
    assert theory.hogwild_bound(t, 12, N, mu) == pytest.approx(4 * 144 * N / mu**2 / t)
    assert theory.sgd_lower_bound(t, N, mu) == pytest.approx(N / (2 * mu**2) / t)
    # From w* itself T = 0, and the bound is 32 lower bounds, up to E = 16 against a million steps.
    assert theory.sgd_bound(t, N, mu, L, 0.0) / theory.sgd_lower_bound(t, N, mu) == pytest.approx([32, 32], rel=1e-4)
    assert theory.hogwild_log_start(12, L, mu) == pytest.approx(2 * (1 + 2.5 * 12 / 0.5))


def test_the_sgd_bound_begins_where_the_theorem_begins():
    N, mu, L, far = 1.0, 1.0, 1.0, 100.0  # T = 4 * 100 - 4 = 396
    assert np.isnan(theory.sgd_bound([395.0], N, mu, L, far))
    assert theory.sgd_bound([396.0], N, mu, L, far) == pytest.approx(16 / 4)


def test_the_error_constant_is_that_of_the_exact_recursion():
    c, h, S, steps = 3.0, np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.5, 2.0]), 400_000
    second = np.zeros(3)
    for t in range(10, steps):  # E w_{t+1}^2 = (1 - lr h)^2 E w_t^2 + lr^2 S
        second = (1 - c / t * h) ** 2 * second + (c / t) ** 2 * S
    # Terms of order 1/t^2 (c h > 1) and, for c h = 3/2, a start forgotten like t^-3: well below a thousandth here.
    assert steps * second.sum() == pytest.approx(theory.sgd_error_constant(c, h, S), rel=1e-3)


def test_too_small_a_step_constant_is_refused():
    with pytest.raises(ValueError, match="must exceed 1"):
        theory.sgd_error_constant(0.9, [0.5], [1.0])


def test_logistic_facts_are_those_of_autograd():
    draw = torch.Generator().manual_seed(0)
    X = torch.randn(40, 3, generator=draw, dtype=torch.float64)
    y = (X[:, 0] + 0.5 * torch.randn(40, generator=draw, dtype=torch.float64) > 0).long()
    problem = LogisticRegression(X, y, [np.arange(25), np.arange(25, 40)], batch=1, l2=0.1)
    facts = theory.logistic_facts(problem)
    w = torch.tensor(facts.minimiser)
    assert problem.full_grad(w).abs().max() < 1e-10
    rows = torch.cat([X, torch.ones(40, 1, dtype=torch.float64)], 1)
    p = torch.sigmoid(rows @ w)
    single = (p - y).unsqueeze(1) * rows + 0.1 * w
    weight = torch.tensor([1 / 50] * 25 + [1 / 30] * 15, dtype=torch.float64)
    assert facts.N == pytest.approx(2 * float(weight @ single.square().sum(1)), rel=1e-9)
    hessian = rows.T @ (rows * (weight * p * (1 - p)).unsqueeze(1)) + 0.1 * torch.eye(4, dtype=torch.float64)
    assert facts.curvatures == pytest.approx(torch.linalg.eigvalsh(hessian).numpy(), rel=1e-8)
    assert facts.L == pytest.approx(float(rows.square().sum(1).max()) / 4 + 0.1)
    assert facts.mu == 0.1
    assert facts.total.sum() == pytest.approx(facts.N / 2, rel=1e-9)
    own = [single[:25], single[25:]]
    within = sum((g - g.mean(0)).square().sum(1).mean() for g in own) / 2
    assert facts.within.sum() == pytest.approx(float(within), rel=1e-9)
    assert math.isfinite(facts.within.min())
    assert facts.within.min() >= 0
    with pytest.raises(ValueError, match="Newton's method has not converged in 1 steps"):
        theory.logistic_facts(problem, steps=1)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (LogisticRegression, {"intercept": False}, "a LogisticRegression without an intercept"),
        (LeastSquares, {"intercept": True}, "a LeastSquares with an intercept"),
        (Softmax, {}, "a Softmax with an intercept"),
    ],
)
def test_the_facts_of_another_problem_are_refused(kind, options, words):
    problem = kind(torch.eye(4), torch.tensor([0, 1, 0, 1]), [np.arange(4)], batch=1, l2=0.1, **options)
    with pytest.raises(ValueError, match=f"must be a LogisticRegression with an intercept, or these are not its facts; got {words}"):
        theory.logistic_facts(problem)
