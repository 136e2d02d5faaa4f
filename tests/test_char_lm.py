"""The language model of characters: its layers written out once more, initial model, and replays that beat the frequencies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from asgd_lib import METHODS, clusters, data, partition, replay, simulate
from asgd_lib.problems import CharLM

_draw = torch.Generator().manual_seed(3)
X = torch.randint(0, 7, (24, 5), generator=_draw).double()
Y = torch.randint(0, 7, (24,), generator=_draw)
PARTS = np.array_split(np.arange(24), 4)


def small(x=X, y=Y, **options) -> CharLM:
    return CharLM(x, y, PARTS, 4, **({"characters": 7, "width": 3, "hidden": 6} | options))


def test_scores_loss_and_gradient_are_those_of_the_layers_written_out():
    problem = small(l2=0.1)
    x = torch.randn(problem.x0.shape, generator=_draw, dtype=torch.float64, requires_grad=True)
    sizes = [(7, 3), (6, 15), (6,), (7, 6), (7,)]  # embedding, then (out, in) and bias of either linear layer
    pieces = x.split([math.prod(size) for size in sizes])
    table, w1, c1, w2, c2 = (piece.view(size) for piece, size in zip(pieces, sizes, strict=True))
    one_hot = nn.functional.one_hot(X.long(), 7).double()  # the embedding is a product with these
    scores = torch.tanh((one_hot @ table).reshape(24, 15) @ w1.T + c1) @ w2.T + c2
    each = torch.logsumexp(scores, 1) - scores[torch.arange(24), Y]
    value = each.mean() + 0.05 * x.square().sum()
    expected = torch.autograd.grad(value, x)[0]
    at = x.detach()
    torch.testing.assert_close(problem.full_grad(at[None])[0], expected, rtol=1e-10, atol=1e-12)
    assert problem.metrics(at[None])["loss"][0] == pytest.approx(value.item(), rel=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(problem.loss(problem._forward(at, X), Y), each.detach(), rtol=1e-10, atol=1e-12)


def test_the_initial_model_follows_its_seed_and_leaves_the_global_generator():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, again, other = (small(init_seed=s).x0 for s in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_part_of_the_text_gives_the_same_coordinates():
    whole, half = CharLM(X, Y, PARTS).x0, CharLM(X[:12], Y[:12], [np.arange(12)]).x0
    assert torch.equal(whole, half) and len(whole) == 96 * 8 + (5 * 8 + 1) * 64 + (64 + 1) * 96


def test_methods_learn_more_than_the_frequencies_of_the_characters(tmp_path):
    (tmp_path / "rhyme.txt").write_text("she sells sea shells by the sea shore, " * 120)
    *train, X_test, y_test = data.load("shakespeare", folder=tmp_path / "rhyme.txt", context=6)
    problem = CharLM(*train, partition.iid(train[1], 4), 8, hidden=16, test=(X_test, y_test))
    shares = torch.bincount(train[1]).double() / len(train[1])
    entropy = -torch.xlogy(shares, shares).sum()
    trace = simulate(clusters.Exponential((1.0, 1.5, 2.0, 4.5)), METHODS["asgd"](lr=0.1), arrivals=400)
    methods = [METHODS["asgd"](lr=0.5), METHODS["ormo"](lr=0.1, momentum=0.8), METHODS["dude"](lr=0.2)]
    history = replay(trace, methods, problem, seeds=(0, 1), every=400)
    last = history[history["arrivals"] == 400]
    assert len(last) == 6 and (last["loss"] < 0.5 * float(entropy)).all() and (last["accuracy"] > 0.8).all()
    alone = replay(trace, methods[1], problem, seeds=(1,), every=400)
    assert alone["loss"].iloc[-1] == last[last["method"].str.startswith("ormo") & (last["seed"] == 1)]["loss"].item()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: small(X / 95), "X must hold the codes of characters, whole numbers from 0 to 6; got values from 0 to 0.06"),
        (lambda: small(X - 1), "X must hold .* from -1 to 5"),
        (lambda: small(characters=5), "X must hold .* whole numbers from 0 to 4"),
        (lambda: small(y=Y + 1), "y must hold"),
        (lambda: small(y=Y.double()), "labels must be whole numbers"),
        (lambda: small(test=(X + 1, Y)), "the test X must hold"),
        (lambda: small(test=(X, Y + 1)), "the test y must hold"),
        (lambda: small(characters=1), "characters must be"),
        (lambda: small(width=0), "width must be"),
        (lambda: small(hidden=0), "hidden must be"),
    ],
)
def test_it_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()
