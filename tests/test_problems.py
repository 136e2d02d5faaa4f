"""Problems over data: gradients, losses and metrics against autograd through torch.nn, and minibatches against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from problem_cases import BINARY, CASES, LABELS, NAMES, PARTS, TEST, N, X, build, loss_and_grad, models, predictions

from asgd_lib import rng
from asgd_lib.problems import Softmax, samples

every_problem = pytest.mark.parametrize("name", NAMES)
# Both sides compute in float64 with sums of at most some hundred terms of order 1: a few hundred roundings of 1e-16.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def drawn(problem, worker: int, job: int, seed: int) -> torch.Tensor:
    """Indices (batch,) of the samples that a job must see: uniform on the worker's part, a pure function of (seed, job)."""
    key = rng.key(torch.tensor(seed), rng.stream("minibatch"), torch.tensor(job))
    return torch.as_tensor(PARTS[worker])[rng.integers(key, problem.batch, len(PARTS[worker]))]


@every_problem
def test_minibatch_gradients_are_those_of_autograd_on_the_samples_drawn(name):
    problem = build(name)
    workers, jobs, seeds = [2, 0, 3, 2, 1], [0, 17, 5, 6, 10**12], [0, 3, 2**40]
    x = models(problem, len(jobs) * len(seeds)).view(len(jobs), len(seeds), -1)
    before = x.clone()
    grads = problem.grad(x, torch.tensor(workers), torch.tensor(jobs), torch.tensor(seeds))
    assert grads.shape == x.shape and torch.equal(x, before)
    for i, (worker, job) in enumerate(zip(workers, jobs, strict=True)):
        for r, seed in enumerate(seeds):
            expected = loss_and_grad(name, x[i, r], drawn(problem, worker, job, seed))[1]
            torch.testing.assert_close(grads[i, r], expected, **CLOSE)


@every_problem
def test_full_gradients_and_losses_are_those_of_autograd(name):
    problem = build(name)
    x = models(problem, 3)
    per_worker = [[loss_and_grad(name, row, torch.as_tensor(part)) for part in PARTS] for row in x]
    for worker in range(4):
        expected = torch.stack([row[worker][1] for row in per_worker])
        torch.testing.assert_close(problem.full_grad(x, worker), expected, **CLOSE)
    loss = torch.stack([sum(value for value, _ in row) / 4 for row in per_worker])  # workers weigh the same, whatever they own
    grad = torch.stack([sum(g for _, g in row) / 4 for row in per_worker])
    torch.testing.assert_close(problem.full_grad(x), grad, **CLOSE)
    metrics = problem.metrics(x)
    torch.testing.assert_close(metrics["loss"], loss, **CLOSE)
    torch.testing.assert_close(metrics["grad_norm_sq"], grad.square().sum(-1), **CLOSE)
    for extra in ((), (2, 3)):  # any leading shape
        many = x[0].expand(*extra, -1)
        torch.testing.assert_close(problem.full_grad(many), grad[0].expand_as(many), **CLOSE)


@every_problem
def test_the_full_gradient_is_the_mean_of_the_workers(name):
    problem = build(name)
    x = models(problem, 2)
    mean = torch.stack([problem.full_grad(x, worker) for worker in range(4)]).mean(0)
    torch.testing.assert_close(problem.full_grad(x), mean, **CLOSE)


@pytest.mark.parametrize("name", ["LeastSquares", "LogisticRegression", "Softmax", "MLP", "SmallCNN"])
def test_stochastic_gradients_are_unbiased_with_the_variance_of_their_samples(name):
    problem = build(name, batch=3)
    x, jobs, worker = models(problem, 1)[0], 500 if name == "SmallCNN" else 4000, 2
    grads = problem.grad(x.expand(jobs, 1, -1), torch.full((jobs,), worker), torch.arange(jobs), torch.tensor([7]))[:, 0]
    own = torch.stack([loss_and_grad(name, x, torch.tensor([i]))[1] for i in PARTS[worker]])
    variance = own.var(0, unbiased=False) / 3  # a mean of 3 drawn with replacement
    score = (grads.mean(0) - problem.full_grad(x, worker)) / (variance / jobs + 1e-24).sqrt()
    assert score.abs().max() < 5  # standard errors; over a few hundred coordinates 4 is common and 5 one in ten thousand
    # The total variance, a mean over `jobs` of squared norms whose standard deviation is of their size: 6 standard errors.
    assert (grads - grads.mean(0)).square().sum(-1).mean() == pytest.approx(float(variance.sum()), rel=6 / jobs**0.5)


def test_every_sample_of_a_worker_is_drawn_equally_often_and_no_other():
    problem = build("Softmax", batch=50)
    for worker, part in enumerate(PARTS):
        place = torch.cat([drawn(problem, worker, job, 0) for job in range(100)])
        counts = torch.bincount(place, minlength=N)[part]
        assert counts.sum() == 5000  # no other
        expected = 5000 / len(part)
        assert float(((counts - expected) ** 2 / expected).sum()) < len(part) + 6 * (2 * len(part)) ** 0.5  # chi-square, 6 deviations


@every_problem
def test_a_gradient_is_the_same_in_any_batch(name):
    problem = build(name)
    x = models(problem, 12).view(6, 2, -1)
    workers, jobs, seeds = torch.tensor([0, 1, 2, 3, 0, 1]), torch.arange(6), torch.tensor([4, 9])
    together = problem.grad(x, workers, jobs, seeds)
    for i in range(6):
        for r in range(2):
            alone = problem.grad(x[i : i + 1, r : r + 1], workers[i : i + 1], jobs[i : i + 1], seeds[r : r + 1])
            torch.testing.assert_close(alone[0, 0], together[i, r], rtol=1e-13, atol=1e-14)  # to the order of sums in a product


@every_problem
@pytest.mark.parametrize(("L", "S"), [(1, 2), (3, 1), (3, 2)])
def test_all_models_of_a_sample_have_the_gradients_they_would_have_alone(name, L, S):
    problem = build(name)
    workers, jobs, seeds = torch.tensor([0, 3, 1]), torch.tensor([5, 0, 2]), torch.arange(4, 4 + S)
    x = models(problem, 3 * L * S).view(3, L, S, -1)
    together = problem.grad_at(x, workers, problem.draws(workers, jobs, seeds))
    assert together.shape == x.shape
    for step in range(L):
        alone = problem.grad(x[:, step], workers, jobs, seeds)
        torch.testing.assert_close(together[:, step], alone, rtol=1e-13, atol=1e-14)


@every_problem
def test_metrics_do_not_depend_on_how_many_samples_are_evaluated_at_once(name, monkeypatch):
    problem = build(name)
    x = models(problem, 2)
    whole = problem.metrics(x)
    monkeypatch.setattr(samples, "_ROWS", 7)
    for key, value in problem.metrics(x).items():
        torch.testing.assert_close(value, whole[key], **CLOSE)


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("Least")])
def test_accuracy_is_the_share_of_right_predictions(name):
    targets = BINARY if name.startswith("Logistic") else LABELS
    for problem, inputs, y in ((build(name), X, targets), (build(name, test=TEST), *TEST)):
        x = models(problem, 4)
        expected = torch.stack([(predictions(name, row, inputs) == y).double().mean() for row in x])
        torch.testing.assert_close(problem.metrics(x)["accuracy"].double(), expected, atol=1e-6, rtol=0)  # counts / N in float32
        assert len(set(expected.tolist())) > 1


def test_least_squares_has_no_accuracy():
    assert set(build("LeastSquares").metrics(torch.zeros(1, 16, dtype=torch.float64))) == {"loss", "grad_norm_sq"}


@every_problem
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_is_that_of_the_data(name, dtype):
    kind, options, y, _, _ = CASES[name]
    problem = kind(X.to(dtype), y, PARTS, 6, 0.1, **options)
    one = torch.tensor([1])
    assert problem.x0.dtype == dtype and not problem.x0.requires_grad
    assert problem.grad(problem.x0[None, None], one, one, one).dtype == dtype
    assert all(v.shape == (1,) and not v.requires_grad for v in problem.metrics(problem.x0[None]).values())


def test_lists_arrays_and_labels_of_any_integer_type_are_the_same_problem():
    x = models(build("Softmax"), 1)
    expected = build("Softmax").full_grad(x)
    for y in (LABELS.int(), LABELS.to(torch.uint8), LABELS.numpy().astype(np.int32), LABELS.tolist()):
        for parts in (PARTS, [p.tolist() for p in PARTS], [torch.as_tensor(p, dtype=torch.int32) for p in PARTS]):
            assert torch.equal(Softmax(X.numpy(), y, parts, 6, 0.3).full_grad(x), expected)
