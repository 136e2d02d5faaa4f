"""Minimisers and constants of the convex problems, and where methods come to rest, against scikit-learn and Hessians by autograd."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model as sk
import torch
from problem_cases import BINARY, CLASSES, FEATURES, LABELS, PARTS, TARGETS, N, X, build, models
from scipy.optimize import minimize
from torch.autograd.functional import hessian

from asgd_lib import METHODS, clusters, replay, simulate, theory
from asgd_lib.comparison import objectives
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
@pytest.mark.parametrize("intercept", [False, True])
def test_without_l2_the_gradient_vanishes_at_the_normal_equations(parts, weights, intercept):
    problem = LeastSquares(X, TARGETS, parts, intercept=intercept)
    model = sk.LinearRegression(fit_intercept=intercept).fit(X.numpy(), TARGETS.numpy(), sample_weight=weights)
    theirs = torch.from_numpy(np.append(model.coef_, [model.intercept_] * intercept))
    assert problem.full_grad(theirs).abs().max() < 1e-13
    rows = with_ones(X) if intercept else X.numpy()
    least = 0.5 * np.mean(weights * (rows @ theirs.numpy() - TARGETS.numpy()) ** 2)
    assert float(problem.metrics(theirs[None])["loss"]) == pytest.approx(least, rel=1e-12)


def scikit_learns(y, weights, inputs, l2: float) -> np.ndarray:
    """scikit-learn's logistic or softmax regression in our layout: (classes, features), then the intercepts if `inputs` end with ones."""
    # It minimises C sum of losses + 1/2 |w|^2; ours, over l2, has C = 1 / (N l2).
    model = sk.LogisticRegression(C=1 / (len(inputs) * l2), fit_intercept=False, tol=1e-12, solver="newton-cholesky")
    coef = model.fit(inputs, y, sample_weight=weights).coef_
    return np.append(coef[:, :FEATURES].ravel(), coef[:, FEATURES:])


@every_partition
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(("kind", "y"), [(LogisticRegression, BINARY), (Softmax, LABELS)])
def test_classifiers_are_scikit_learns(parts, weights, intercept, kind, y):
    ours = minimised(kind(X, y, parts, l2=0.05, intercept=intercept))
    theirs = scikit_learns(y.numpy(), weights, with_ones(X) if intercept else X.numpy(), 0.05)
    assert len(ours) == (CLASSES if kind is Softmax else 1) * (FEATURES + intercept)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@every_partition
def test_minimisers_that_the_library_finds_are_scikit_learns(parts, weights):
    problem = LogisticRegression(X, BINARY, parts, batch=1, l2=0.05)
    theirs = scikit_learns(BINARY.numpy(), weights, with_ones(X), 0.05)
    np.testing.assert_allclose(theory.logistic_facts(problem).minimiser, theirs, rtol=0, atol=1e-9)
    first = float(problem.full_grad(problem.x0).norm())
    # Curvature is at least l2 = 0.05, so a gradient of 1e-6 of the first bounds the distance.
    assert np.linalg.norm(objectives.minimiser(problem, 1e-6).numpy() - theirs) <= 1e-6 * first / 0.05


# Where methods rest. Each of six workers has one sample, so that gradients are exact and no two objectives alike; workers are uneven.
SIX, SECONDS = [np.array([i]) for i in range(6)], (1.0, 1.5, 2.0, 3.0, 5.0, 8.0)


def weighted_minimiser(kind, weights) -> np.ndarray:
    """scikit-learn's minimiser of sum_i w_i f_i over the six samples, weights normalised, l2 = 1."""
    weights, inputs = 6 * np.asarray(weights) / np.sum(weights), X[:6].numpy()
    if kind is LeastSquares:
        return sk.Ridge(alpha=6.0, fit_intercept=False, tol=1e-12).fit(inputs, TARGETS[:6].numpy(), sample_weight=weights).coef_
    y = (BINARY if kind is LogisticRegression else LABELS)[:6].numpy()
    return scikit_learns(y, weights, with_ones(X[:6]), 1.0)


def at_rest(kind, name: str, lrs: list[float], arrivals: int) -> tuple[np.ndarray, np.ndarray]:
    """The last models (lrs, d), and the weights of workers in steps min(1, n / tau) along the trace."""
    y = {LeastSquares: TARGETS, LogisticRegression: BINARY, Softmax: LABELS}[kind]
    problem = kind(X[:6], y[:6], SIX, batch=1, l2=1.0)
    methods = [METHODS[name](lr) for lr in lrs]
    trace = simulate(clusters.Fixed(SECONDS), methods[0], arrivals=arrivals)
    models = replay(trace, methods, problem, every=arrivals).attrs["x"].numpy()
    return models, theory.measured_adaptive_weights(trace.worker, trace.delays, 6)


every_kind = pytest.mark.parametrize("kind", [LeastSquares, LogisticRegression, Softmax])


@every_kind
@pytest.mark.parametrize(("name", "lr"), [("dude", 0.01), ("sgd_minibatch", 0.06), ("malenia", 0.2)])
def test_methods_for_heterogeneous_data_rest_at_the_minimiser_however_uneven_the_workers(kind, name, lr):
    (model,), _ = at_rest(kind, name, [lr], arrivals=2500)  # lr times updates is 20 or more, and all curvatures are above 1
    np.testing.assert_allclose(model, weighted_minimiser(kind, np.ones(6)), rtol=0, atol=1e-8)  # e^-20 of the start is left


@every_kind
@pytest.mark.parametrize("name", ["asgd", "asgd_delay_adaptive"])
def test_asgd_rests_at_the_minimiser_of_the_workers_weighed_by_how_often_they_deliver(kind, name):
    (small, large), adaptive = at_rest(kind, name, [0.004, 0.008], arrivals=4000)
    biased = weighted_minimiser(kind, theory.arrival_shares(SECONDS) if name == "asgd" else adaptive)
    off = np.linalg.norm(biased - weighted_minimiser(kind, np.ones(6)))
    # Extrapolated to lr = 0; what is left is of second order in lr, and what matters is that it is small against the bias.
    assert np.linalg.norm(2 * small - large - biased) < 0.005 * off  # measured: 0.002 at most


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
