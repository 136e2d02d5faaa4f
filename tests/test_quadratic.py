"""Quadratics against numpy: constants, minimiser, gradients, and the size of the noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asgd_lib.problems import Quadratic

N, D = 3, 4
draw = np.random.default_rng(3)
ROOTS = draw.standard_normal((N, D, D))
DENSE = ROOTS @ ROOTS.transpose(0, 2, 1) + 0.1 * np.eye(D)
DIAGONAL = draw.uniform(0.2, 2.0, (N, D))
B = draw.standard_normal((N, D))
X0 = draw.standard_normal(D)
MATRICES = {"dense": DENSE, "diagonal": np.stack([np.diag(a) for a in DIAGONAL])}
either = pytest.mark.parametrize("kind", ["dense", "diagonal"])


def build(kind: str, **more) -> Quadratic:
    return Quadratic(DENSE if kind == "dense" else DIAGONAL, B, x0=X0, **more)


@either
def test_constants_are_those_of_numpy(kind):
    problem, A = build(kind), MATRICES[kind]
    mean_A, mean_b = A.mean(0), B.mean(0)
    minimiser = np.linalg.solve(mean_A, mean_b)
    grads = A @ minimiser - B
    assert pytest.approx(max(np.linalg.eigvalsh(a)[-1] for a in A), rel=1e-12) == problem.L
    assert problem.mu == pytest.approx(np.linalg.eigvalsh(mean_A)[0], rel=1e-12)
    np.testing.assert_allclose(problem.minimiser, minimiser, rtol=1e-10)
    assert problem.minimum == pytest.approx(-0.5 * mean_b @ minimiser, rel=1e-10)
    assert problem.zeta_sq == pytest.approx((grads**2).sum(1).mean(), rel=1e-10)  # their mean is zero at the minimiser
    assert (problem.n, problem.d, problem.x0.dtype) == (N, D, torch.float64)


def test_L_is_the_largest_curvature_even_where_it_is_negative():
    assert Quadratic([[-10.0], [5.5], [5.5]], np.zeros((3, 1))).L == 10.0


def test_zeta_sq_of_shifted_parabolas_is_the_variance_of_their_slopes():
    assert Quadratic(np.ones((4, 1)), [[-3.0], [-1.0], [1.0], [3.0]]).zeta_sq == 5.0


@either
def test_gradients_losses_and_metrics_are_the_formulas(kind):
    problem, A = build(kind), MATRICES[kind]
    x = np.random.default_rng(0).standard_normal((5, D))
    t = torch.as_tensor(x)
    for i in range(N):
        np.testing.assert_allclose(problem.full_grad(t, i), x @ A[i] - B[i], rtol=1e-10, atol=1e-13)
    grad = x @ A.mean(0) - B.mean(0)
    loss = np.array([np.mean([0.5 * v @ A[i] @ v - B[i] @ v for i in range(N)]) for v in x])
    np.testing.assert_allclose(problem.full_grad(t), grad, rtol=1e-10, atol=1e-13)
    metrics = problem.metrics(t)
    np.testing.assert_allclose(problem.loss(t), loss, rtol=1e-10)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-10)
    np.testing.assert_allclose(metrics["grad_norm_sq"], (grad**2).sum(1), rtol=1e-10)
    np.testing.assert_allclose(metrics["gap"], loss - problem.minimum, rtol=1e-9)  # a difference, which costs a digit
    np.testing.assert_allclose(metrics["dist_sq"], ((x - problem.minimiser.numpy()) ** 2).sum(1), rtol=1e-10)
    by_autograd = torch.autograd.functional.jacobian(problem.loss, t[0])
    np.testing.assert_allclose(by_autograd, grad[0], rtol=1e-10, atol=1e-13)


def test_the_gap_keeps_its_digits_near_the_minimiser():
    problem = Quadratic(np.ones((2, 1)), [[1e3], [3e3]])
    x = problem.minimiser[None] + 1e-6
    assert float(problem.metrics(x)["gap"][0]) == pytest.approx(0.5e-12, rel=1e-3)  # x itself is rounded to 4e-13; the loss is -2e6


@either
def test_without_noise_a_stochastic_gradient_is_the_workers_own(kind):
    problem = build(kind)
    x = torch.randn(N, 2, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grads = problem.grad(x, torch.arange(N), torch.tensor([5, 6, 7]), torch.tensor([1, 2]))
    for i in range(N):
        np.testing.assert_allclose(grads[i], problem.full_grad(x[i], i), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("d", [1, 4, 5])
def test_noise_has_expected_squared_norm_sigma_sq_evenly_spread_and_unrelated(d):
    sigma, jobs, runs = 3.0, 5000, 4
    noisy, exact = (Quadratic(np.ones((2, d)), np.ones((2, d)), sigma=s) for s in (sigma, 0.0))
    x = torch.zeros(jobs, runs, d, dtype=torch.float64)
    at = torch.arange(jobs) % 2, torch.arange(jobs), torch.arange(runs)
    noise = (noisy.grad(x, *at) - exact.grad(x, *at)).numpy()
    flat = noise.reshape(-1, d)
    count = len(flat)
    # Standard errors: of a mean sigma / sqrt(d count), of a squared norm sigma^2 sqrt(2 / (d count)); 5 of them.
    assert np.abs(flat.mean(0)).max() < 5 * sigma / (d * count) ** 0.5
    assert (flat**2).sum(1).mean() == pytest.approx(sigma**2, rel=5 * (2 / (d * count)) ** 0.5)
    covariance = flat.T @ flat / count
    np.testing.assert_allclose(covariance, sigma**2 / d * np.eye(d), atol=5 * sigma**2 / d * (2 / count) ** 0.5)
    columns = noise[:, :, 0]  # runs (seeds), and neighbouring jobs, know nothing of each other
    together = np.corrcoef(np.vstack([columns.T, np.roll(columns[:, 0], 1)]))
    np.testing.assert_allclose(together, np.eye(runs + 1), atol=5 / jobs**0.5)


def test_noise_is_a_pure_function_of_seed_and_job():
    problem = Quadratic(np.ones((3, 2)), np.zeros((3, 2)), sigma=1.0)
    jobs, seeds = torch.tensor([4, 9, 4]), torch.tensor([1, 8])
    x = torch.zeros(3, 2, 2, dtype=torch.float64)
    grads = problem.grad(x, torch.tensor([0, 1, 2]), jobs, seeds)
    assert torch.equal(grads[0], grads[2])  # the same job, whoever does it
    alone = problem.grad(x[:1, :1], torch.tensor([1]), torch.tensor([9]), torch.tensor([8]))
    assert torch.equal(alone[0, 0], grads[1, 1])
    assert len(grads.flatten(0, 1).unique(dim=0)) == 4


@pytest.mark.parametrize(
    ("A", "b", "more", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 2)), {}, r"needs b of shape \(n, d\)"),
        (np.ones((2, 2, 3)), np.ones((2, 2)), {}, r"needs b of shape \(n, d\)"),
        (np.ones(2), np.ones(2), {}, r"needs b of shape \(n, d\)"),
        (np.ones((0, 2)), np.ones((0, 2)), {}, r"needs b of shape \(n, d\)"),
        (np.ones((2, 2)), np.ones((2, 2)), {"x0": [1.0]}, r"x0 must have shape \(2,\)"),
        (np.ones((2, 2)), np.ones((2, 2)), {"x0": [1.0, np.nan]}, "x0 must be finite"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), {}, "A must be finite"),
        (np.ones((2, 2)), np.full((2, 2), np.inf), {}, "b must be finite"),
        (np.ones((2, 2)), np.ones((2, 2)), {"sigma": -0.1}, "sigma must be"),
        (np.ones((2, 2)), np.ones((2, 2)), {"sigma": float("nan")}, "sigma must be"),
        ([[[1.0, 2.0], [0.0, 1.0]]] * 2, np.ones((2, 2)), {}, r"pass \(A \+ A'\) / 2"),
        (-np.ones((2, 2)), np.ones((2, 2)), {}, "positive definite"),
        (np.zeros((2, 2)), np.ones((2, 2)), {}, "positive definite"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(A, b, more, words):
    with pytest.raises(ValueError, match=words) as error:
        Quadratic(A, b, **more)
    assert str(error.value).endswith(".")


def test_a_linear_term_that_is_zero_in_places_counts_in_the_others():
    problem = Quadratic([[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 0.0]])
    x, workers = torch.tensor([[[0.5, -1.0]], [[0.5, -1.0]]], dtype=torch.float64), torch.tensor([0, 1])
    grads = problem.grad(x, workers, torch.tensor([0, 1]), torch.tensor([0]))
    assert grads[:, 0].tolist() == [[0.5, -3.0], [1.5, -4.0]]
