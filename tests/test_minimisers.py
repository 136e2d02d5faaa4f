"""Minimisers and constants of the convex problems, against scikit-learn, numpy and Hessians by autograd."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model as sk
import torch
from problem_cases import BINARY, CLASSES, FEATURES, LABELS, PARTS, TARGETS, N, X, build, models
from scipy.optimize import minimize
from torch.autograd.functional import hessian

from asgd_lib.problems import LeastSquares, LogisticRegression, Softmax

EQUAL = [np.arange(10 * i, 10 * i + 10) for i in range(4)]
WEIGHTS = np.zeros(N)  # of each sample in f, times N: workers weigh the same, and sample 20 and 21 are given to two of them
OVERLAPPING = [*PARTS[:3], np.append(PARTS[3], [19, 25])]
for part in OVERLAPPING:
    WEIGHTS[part] += N / (4 * len(part))


def minimised(problem) -> np.ndarray:
    """The model at which our own gradient vanishes."""

    def value_and_grad(x):
        x = torch.as_tensor(x)[None]
        return float(problem.metrics(x)["loss"]), problem.full_grad(x)[0].numpy()

    found = minimize(value_and_grad, np.zeros(len(problem.x0)), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
    assert np.abs(found.jac).max() < 1e-7  # with curvature of at least l2 = 0.05, the model is right to 1e-5
    return found.x


every_partition = pytest.mark.parametrize(("parts", "weights"), [(EQUAL, np.ones(N)), (OVERLAPPING, WEIGHTS)], ids=["equal", "unequal"])


def with_ones(X) -> np.ndarray:
    """Our l2 also shrinks the intercept, so scikit-learn's has to be a feature."""
    return np.column_stack([X, np.ones(len(X))])


@every_partition
@pytest.mark.parametrize("intercept", [False, True])
def test_least_squares_is_ridge(parts, weights, intercept):
    ours = minimised(LeastSquares(X, TARGETS, parts, l2=0.05, intercept=intercept))
    inputs = with_ones(X) if intercept else X.numpy()
    # scikit-learn minimises |y - Xw|^2 + alpha |w|^2; ours, times 2 N, has alpha = N l2.
    ridge = sk.Ridge(alpha=N * 0.05, fit_intercept=False, tol=1e-12).fit(inputs, TARGETS.numpy(), sample_weight=weights)
    np.testing.assert_allclose(ours, ridge.coef_, atol=1e-5)


@every_partition
def test_logistic_regression_is_scikit_learns(parts, weights):
    ours = minimised(LogisticRegression(X, BINARY, parts, l2=0.05))
    # scikit-learn minimises C sum of losses + 1/2 |w|^2; ours, over l2, has C = 1 / (N l2).
    model = sk.LogisticRegression(C=1 / (N * 0.05), fit_intercept=False, tol=1e-10, max_iter=5000)
    theirs = model.fit(with_ones(X), BINARY.numpy(), sample_weight=weights).coef_[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@every_partition
def test_softmax_is_scikit_learns(parts, weights):
    ours = minimised(Softmax(X, LABELS, parts, l2=0.05))
    model = sk.LogisticRegression(C=1 / (N * 0.05), fit_intercept=False, tol=1e-10, max_iter=5000)
    theirs = model.fit(with_ones(X), LABELS.numpy(), sample_weight=weights).coef_  # (classes, features + 1)
    cut = CLASSES * FEATURES
    np.testing.assert_allclose(ours[:cut].reshape(CLASSES, FEATURES), theirs[:, :-1], atol=1e-5)
    np.testing.assert_allclose(ours[cut:], theirs[:, -1], atol=1e-5)


def top_eigenvalue(problem, x: torch.Tensor) -> float:
    """Largest eigenvalue of the Hessian of our loss, by differentiating it twice."""
    return float(torch.linalg.eigvalsh(hessian(lambda v: problem.metrics(v[None])["loss"][0], x))[-1])


@pytest.mark.parametrize("intercept", [False, True])
def test_L_is_the_curvature_of_least_squares_and_of_logistic_regression_at_zero(intercept):
    for kind, y in ((LeastSquares, TARGETS), (LogisticRegression, BINARY)):
        problem = kind(X, y, PARTS, l2=0.3, intercept=intercept)
        assert top_eigenvalue(problem, problem.x0) == pytest.approx(problem.L, rel=1e-10)


def test_L_is_the_curvature_of_softmax_with_two_classes_at_zero():
    problem = Softmax(X, BINARY, PARTS, l2=0.3)
    assert top_eigenvalue(problem, problem.x0) == pytest.approx(problem.L, rel=1e-10)


@pytest.mark.parametrize("name", ["LogisticRegression", "Softmax"])
def test_L_bounds_the_curvature_anywhere(name):
    problem = build(name)
    for x in models(problem, 5) * 0.1:
        assert 0.3 < top_eigenvalue(problem, x) <= problem.L


def test_l2_adds_its_value_to_L():
    assert build("Softmax", l2=0.7).L - build("Softmax", l2=0.0).L == pytest.approx(0.7, rel=1e-12)
