"""The residual network: its size, layout, gradient by torch.nn alone, initial model, and a replay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.problems import ResNet
from asgd_lib.problems.resnet import residual_network

_draw = torch.Generator().manual_seed(3)
X = torch.rand(24, 3 * 8 * 8, generator=_draw, dtype=torch.float64)
Y = torch.arange(24) % 3
PARTS = np.array_split(np.arange(24), 4)


def small(x=X, **options) -> ResNet:
    return ResNet(x, Y, PARTS, 4, **({"blocks": 1, "width": 4} | options))


def test_resnet_20_has_as_many_parameters_as_the_layers_say():
    convolutions = 3 * 16 + 6 * 16 * 16 + (16 * 32 + 5 * 32 * 32) + (32 * 64 + 5 * 64 * 64)
    norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    images = torch.rand(10, 3072)
    problem = ResNet(images, torch.arange(10), [np.arange(10)])
    assert problem.x0.numel() == 9 * convolutions + norms + 64 * 10 + 10 == 269_722
    layers = [m for m in problem.module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20 and all(m.num_channels // m.num_groups == 8 for m in problem.module.modules() if isinstance(m, nn.GroupNorm))


def test_gradient_is_that_of_the_module():
    problem = small(l2=0.1)
    x = problem.x0 + 0.05 * torch.randn(problem.x0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = residual_network(3, 8, 3, blocks=1, width=4).double()
    vector_to_parameters(x, net.parameters())
    parameters = list(net.parameters())
    value = nn.functional.cross_entropy(net(X), Y) + 0.05 * sum(p.square().sum() for p in parameters)
    expected = parameters_to_vector(torch.autograd.grad(value, parameters))
    torch.testing.assert_close(problem.full_grad(x[None])[0], expected, rtol=1e-10, atol=1e-12)
    assert problem.metrics(x[None])["loss"][0] == pytest.approx(value.item(), rel=1e-12)


def test_rows_are_planes_and_shortcuts_have_no_parameters():
    problem = small()
    block = problem.module[5]  # the first of stage two: 4 channels of 8 x 8 to 8 of 4 x 4
    for p in block.parameters():
        p.data.zero_()
    images = X.view(-1, 3, 8, 8)
    assert torch.equal(problem.module[0](X), images)
    four = torch.cat([images, images[:, :1]], 1)
    with torch.no_grad():
        out = block(four)
    assert out.shape == (24, 8, 4, 4) and torch.equal(out[:, :4], four[:, :, ::2, ::2]) and not out[:, 4:].any()


def test_the_initial_model_follows_its_seed_and_leaves_the_global_generator():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, again, other = (small(init_seed=s).x0 for s in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_learns_the_brightness(channels):
    images = 0.2 * X[:, : 64 * channels] + 0.4 * Y[:, None]
    problem = small(images.float(), channels=channels)
    trace = simulate(clusters.Exponential((1.0, 1.5, 2.0, 4.5)), METHODS["asgd"](lr=0.1), arrivals=100)
    history = replay(trace, METHODS["ormo"](lr=0.05, momentum=0.5), problem, seeds=(0,), every=100)
    assert history["loss"].iloc[-1] < 0.7 * history["loss"].iloc[0]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: small(X[:, :-1]), "3 square planes of at least 4 x 4 pixels; got X of shape"),
        (lambda: small(X[:, :27]), "at least 4 x 4"),
        (lambda: small(X.view(-1, 3, 8, 8)), "square planes"),
        (lambda: small(channels=1), "Give the number of planes by channels"),
        (lambda: small(blocks=0), "blocks must be"),
        (lambda: small(width=0), "width must be"),
        (lambda: small(channels=0), "channels must be"),
    ],
)
def test_it_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()
