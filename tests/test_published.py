"""Published experiments: each set-up constant of the authors' code, and what their step sizes say about the problem."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model as sk
import torch

from asgd_lib import METHODS, clusters, history, replay, rng, simulate, theory
from asgd_lib.problems import delay_independent_least_squares

# The authors' notebook: 40 workers, 10,000 rows, 400 columns, minibatches of 256, noise 1e-5, and the two steps that it calls best tuned.
M, ROWS, COLUMNS, BATCH, NOISE, SUMMED, SINGLE = 40, 10_000, 400, 256, 1e-5, 0.19, 0.43


@pytest.fixture(scope="module")
def problem():
    return delay_independent_least_squares()


def test_the_sizes_and_the_distribution_are_those_of_the_authors(problem):
    A, b = problem.X.numpy(), problem.y.numpy()
    assert (problem.n, A.shape, problem.batch, problem.l2, problem.intercept) == (M, (ROWS, COLUMNS), BATCH, 0.0, False)
    assert not problem.x0.any()
    assert all(np.array_equal(problem.samples_of(worker), np.arange(ROWS)) for worker in (0, M - 1))
    scaled = A * COLUMNS**0.5
    assert scaled.min() >= 0 and scaled.max() < 1
    # Four million uniforms: mean and variance to 5 standard errors, sqrt(1/12) / 2000 and sqrt(1/180) / 2000.
    assert scaled.mean() == pytest.approx(0.5, abs=5 * (1 / 12) ** 0.5 / 2000)
    assert scaled.var() == pytest.approx(1 / 12, abs=5 * (1 / 180) ** 0.5 / 2000)
    model = sk.LinearRegression(fit_intercept=False).fit(A, b)
    residual = b - model.predict(A)
    # The residuals' mean square, over N - d degrees of freedom, is the noise's variance: to 5 of its deviations, sqrt(2 / 9600).
    assert (residual**2).sum() / (ROWS - COLUMNS) == pytest.approx(NOISE**2, rel=5 * (2 / 9600) ** 0.5)
    assert model.coef_.std() == pytest.approx(1.0, abs=5 / (2 * COLUMNS) ** 0.5)  # the model behind b is standard normal
    least = float(problem.metrics(torch.from_numpy(model.coef_)[None])["loss"])
    assert least == pytest.approx(0.5 * np.mean(residual**2), rel=1e-6)
    assert float(problem.metrics(problem.x0[None])["loss"]) == pytest.approx(0.5 * np.mean(b**2), rel=1e-12)


def test_the_draw_is_the_authors_five_seeds_then_rows_model_noise(problem):
    stream = np.random.default_rng(42)
    seeds = [int(stream.choice(424242, size=1, replace=False)[0]) for _ in range(5)]
    assert len(set(seeds)) == 5
    A = stream.uniform(size=(ROWS, COLUMNS)) / np.sqrt(COLUMNS)
    np.testing.assert_array_equal(problem.X.numpy(), A)
    assert 3 * NOISE < np.abs(problem.y.numpy() - A @ stream.normal(size=COLUMNS)).max() < 6 * NOISE  # of 10,000 normals


def test_a_worker_gradient_is_the_mean_over_its_minibatch_of_all_rows(problem):
    x = torch.linspace(-1, 1, COLUMNS, dtype=torch.float64)
    grad = problem.grad(x.view(1, 1, -1), torch.tensor([7]), torch.tensor([3]), torch.tensor([5]))[0, 0]
    index = rng.integers(rng.key(torch.tensor(5), rng.stream("minibatch"), torch.tensor(3)), BATCH, ROWS)
    A, b = problem.X[index].numpy(), problem.y[index].numpy()
    np.testing.assert_allclose(grad, (A @ x.numpy() - b) @ A / BATCH, rtol=1e-11)


def test_their_step_for_minibatch_sgd_is_just_inside_the_border_and_that_for_asgd_far_outside_that_of_constant_delays(problem):
    # E a a' = (1/4) 11'/d + I/(12 d): its eigenvalue along 1 is 1/4 + 1/4800; the mean of 10,000 rows moves it by about 1e-4.
    assert pytest.approx(1 / 4 + 1 / 4800, abs=5e-4) == problem.L
    assert 0.9 < SUMMED * problem.L / theory.critical_step_minibatch(M, summed=True) < 1
    # Their code restarts a worker before its gradient is applied, one update staler: M + 1 stands for M, and neither allows 0.43.
    assert all(SINGLE * problem.L > 2.5 * theory.critical_step_asgd(workers) for workers in (M, M + 1))


def test_their_step_for_minibatch_sgd_converges_and_ten_per_cent_more_does_not():
    problem = delay_independent_least_squares(dtype=torch.float32)
    methods = [METHODS["sgd_minibatch"](lr=M * lr) for lr in (SUMMED, 1.1 * SUMMED)]
    trace = simulate(clusters.equal(M), methods[0], arrivals=30 * M)
    near, beyond = history.final(replay(trace, methods, problem, every=30 * M))["value"]
    # Along 1 the model settles within a few rounds, which leaves a third of the loss; beyond the border it grows by 1.09 a round.
    start = float(problem.metrics(problem.x0[None])["loss"])
    assert near < 0.5 * start < start < beyond


@pytest.mark.parametrize("more", [{"n": 0}, {"samples": 0}, {"features": 0}, {"batch": 0}])
def test_senseless_counts_are_refused(more):
    with pytest.raises(ValueError, match=f"{next(iter(more))} must be a whole number of at least 1"):
        delay_independent_least_squares(**{"samples": 10, "features": 2} | more)
