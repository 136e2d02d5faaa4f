"""Networks: layouts shared with torch.nn, initial models, modules of one's own, and replays in one batch or alone."""

from __future__ import annotations

import pytest
import torch
from problem_cases import CLASSES, FEATURES, HIDDEN, L2, LABELS, PARTS, TARGETS, TEST, X, cross_entropy, half_square, models, network
from torch import nn
from torch.nn.utils import parameters_to_vector

from asgd_lib import METHODS, clusters, problems, replay, simulate
from asgd_lib.problems import MLP, SmallCNN, Softmax, TorchModule

TRACE = simulate(clusters.Exponential((1.0, 1.5, 2.0, 4.5)), METHODS["asgd"](lr=0.1), arrivals=120)


def pairs():
    """A problem with hand-made gradients beside the same one by autograd; the parameters have one layout."""
    linear = nn.Linear(FEATURES, CLASSES).double()
    return [
        (Softmax(X, LABELS, PARTS, 6, L2, test=TEST), TorchModule(linear, cross_entropy, X, LABELS, PARTS, 6, L2, test=TEST)),
        (MLP(X, LABELS, PARTS, 6, L2, hidden=HIDDEN, test=TEST), TorchModule(network(), cross_entropy, X, LABELS, PARTS, 6, L2, test=TEST)),
    ]


@pytest.mark.parametrize("pair", [0, 1], ids=["Softmax", "MLP"])
def test_a_module_replays_as_the_gradients_by_hand_do(pair):
    ours, module = pairs()[pair]
    module.x0 = ours.x0 = models(ours, 1)[0] * 0.3
    one, other = (replay(TRACE, METHODS["dude"](lr=0.1), p, seeds=(0, 5), every=40) for p in (ours, module))
    torch.testing.assert_close(one.attrs["x"], other.attrs["x"], rtol=1e-9, atol=1e-11)  # 120 steps of roundings of 1e-16
    for metric in ("loss", "grad_norm_sq", "accuracy"):
        torch.testing.assert_close(torch.tensor(one[metric]), torch.tensor(other[metric]), rtol=1e-9, atol=1e-11)


def test_a_module_starts_at_its_own_parameters_and_is_left_alone():
    net = network()
    before = parameters_to_vector(net.parameters()).detach().clone()
    problem = TorchModule(net, cross_entropy, X, LABELS, PARTS)
    assert torch.equal(problem.x0, before)
    x = replay(TRACE, METHODS["asgd"](lr=0.1), problem, every=120).attrs["x"][0]
    assert not torch.equal(x, before) and torch.equal(parameters_to_vector(net.parameters()), before)
    assert torch.equal(problem.x0, before) and all(p.grad is None for p in net.parameters())


def test_a_module_may_regress_and_has_no_accuracy_then():
    net = nn.Sequential(nn.Linear(FEATURES, 1, bias=False), nn.Flatten(0)).double()
    module, ours = TorchModule(net, half_square, X, TARGETS, PARTS, 6), problems.LeastSquares(X, TARGETS, PARTS, 6)
    x = models(ours, 3)
    assert set(module.metrics(x)) == {"loss", "grad_norm_sq"}
    torch.testing.assert_close(module.full_grad(x), ours.full_grad(x), rtol=1e-10, atol=1e-12)


def test_dropout_is_off_so_that_a_gradient_is_a_function_of_its_job():
    problem = TorchModule(nn.Sequential(nn.Dropout(0.5), nn.Linear(FEATURES, CLASSES).double()), cross_entropy, X, LABELS, PARTS)
    one = torch.tensor([1])
    x = models(problem, 1)[None]
    assert torch.equal(problem.grad(x, one, one, one), problem.grad(x, one, one, one))


def test_initial_networks_are_those_of_nn_linear_and_follow_their_seed():
    problem = MLP(X, LABELS, PARTS, hidden=200, init_seed=3)
    cut = 200 * (FEATURES + 1)  # both matrices and their intercepts are uniform on +-1/sqrt(in)
    for piece, bound in ((problem.x0[:cut], FEATURES**-0.5), (problem.x0[cut:], 200**-0.5)):
        assert piece.abs().max() < bound
        # The standard deviation of a uniform is bound / sqrt(3), known to about 0.5 / sqrt(count): 5 of them.
        assert float(piece.std()) == pytest.approx(bound / 3**0.5, rel=2.5 / len(piece) ** 0.5)
    for kind, options in ((MLP, {"hidden": 7}), (SmallCNN, {})):
        first, again, other = (kind(X, LABELS, PARTS, init_seed=s, **options).x0 for s in (0, 0, 1))
        assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_small_cnn_leaves_the_global_generator_as_it_was():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    SmallCNN(X, LABELS, PARTS)
    assert torch.equal(torch.rand(3), expected)


def test_a_small_cnn_learns():
    images = 0.3 * X + 0.5 * LABELS[:, None]  # the class is the brightness
    problem = SmallCNN(images.float(), LABELS, PARTS, 8)
    runs = replay(TRACE, METHODS["asgd"](lr=0.1), problem, seeds=(0, 1), every=120).groupby("run")
    assert (runs["loss"].last() < 0.5 * runs["loss"].first()).all() and (runs["accuracy"].last() > 0.8).all()


@pytest.mark.parametrize("kind", ["Softmax", "MLP", "LogisticRegression", "SmallCNN"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_runs_in_one_batch_are_the_runs_alone(kind, dtype, tolerance):
    y = (LABELS > 0).long() if kind == "LogisticRegression" else LABELS
    problem = getattr(problems, kind)(X.to(dtype), y, PARTS, 6, 0.01, **({"hidden": 32} if kind == "MLP" else {}))
    methods = [METHODS["asgd"](lr=lr) for lr in (0.02, 0.1)]
    together = replay(TRACE, methods, problem, seeds=(0, 1), every=120).attrs["x"]
    alone = [replay(TRACE, m, problem, seeds=(s,), every=120, jobs_per_call=1).attrs["x"][0] for m in methods for s in (0, 1)]
    # Measured: equal to the bit, but for 3e-16 in MLP's float64. Sums inside a matrix product may be ordered by its size:
    # rounding is allowed, and no more.
    for one, row in zip(alone, together, strict=True):
        assert (one - row).norm() <= tolerance * row.norm()
    assert len({tuple(row.tolist()) for row in together}) == 4
