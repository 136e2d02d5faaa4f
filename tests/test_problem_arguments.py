"""Senseless data is refused at once, in a sentence that says what is wrong and what is allowed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from problem_cases import BINARY, LABELS, PARTS, TARGETS, N, X, cross_entropy, network
from torch import nn

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.problems import MLP, LeastSquares, LogisticRegression, SmallCNN, Softmax, TorchModule

NAN = X.clone()
NAN[3, 2] = torch.nan
INF = X.clone()
INF[3, 2], INF[4, 2] = torch.inf, -torch.inf


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Softmax(X[:, 0], LABELS, PARTS), r"X must be a floating-point tensor \(N, features\)"),
        (lambda: Softmax(X.long(), LABELS, PARTS), "X must be a floating-point tensor"),
        (lambda: LeastSquares(X[:0], TARGETS[:0], PARTS), "not empty"),
        (lambda: Softmax(NAN, LABELS, PARTS), "X must be finite"),
        (lambda: MLP(INF, LABELS, PARTS), "X must be finite"),
        (lambda: LeastSquares(X, torch.full((N,), torch.nan), PARTS), "y must be finite"),
        (lambda: Softmax(X, LABELS[:-1], PARTS), rf"y must have shape \({N},\)"),
        (lambda: LeastSquares(X, TARGETS[:, None], PARTS), rf"y must have shape \({N},\)"),
        (lambda: Softmax(X, LABELS.double(), PARTS), "labels must be whole numbers"),
        (lambda: MLP(X, LABELS - 1, PARTS), "labels must be whole numbers"),
        (lambda: Softmax(X, LABELS[:0], PARTS), "at least one"),
        (lambda: LogisticRegression(X, LABELS, PARTS), "labels 0 and 1; for more classes use Softmax"),
        (lambda: LogisticRegression(X, 2 * BINARY - 1, PARTS), "labels 0 and 1"),
        (lambda: Softmax(X, LABELS, []), "at least one sample"),
        (lambda: Softmax(X, LABELS, [[0], []]), "at least one sample"),
        (lambda: Softmax(X, LABELS, [[0], [N]]), f"outside 0..{N - 1}"),
        (lambda: Softmax(X, LABELS, [[0], [-1]]), f"outside 0..{N - 1}"),
        (lambda: Softmax(X, LABELS, [np.arange(N) < 9, np.arange(N) >= 9]), "np.flatnonzero"),
        (lambda: Softmax(X, LABELS, [[0.5], [1.5]]), "whole sample indices"),
        (lambda: Softmax(X, LABELS, [[[0, 1]], [[2, 3]]]), "vector of whole sample indices"),
        (lambda: Softmax(X, LABELS, PARTS, 0), "batch must be a whole number of at least 1"),
        (lambda: Softmax(X, LABELS, PARTS, 8, -1.0), "l2 must be"),
        (lambda: MLP(X, LABELS, PARTS, hidden=0), "hidden must be"),
        (lambda: Softmax(X, LABELS, PARTS, test=(X[:, :3], LABELS)), r"the test X must have samples of shape \(16,\)"),
        (lambda: Softmax(X, LABELS, PARTS, test=(X, LABELS[:5])), "the test y must have shape"),
        (lambda: Softmax(X, LABELS, PARTS, test=(NAN, LABELS)), "the test X must be finite"),
        (lambda: Softmax(X, LABELS, PARTS, test=X), r"test must be a pair \(X, y\)"),
        (lambda: SmallCNN(X[:, :15], LABELS, PARTS), "square images of at least 4 x 4"),
        (lambda: SmallCNN(X[:, :9], LABELS, PARTS), "square images of at least 4 x 4"),
        (lambda: SmallCNN(X.view(N, 4, 4), LABELS, PARTS), "square images of at least 4 x 4"),
        (lambda: TorchModule(nn.BatchNorm1d(16), cross_entropy, X, LABELS, PARTS), "use GroupNorm"),
        (lambda: TorchModule(nn.ReLU(), cross_entropy, X, LABELS, PARTS), "no parameters to train"),
        (lambda: TorchModule(network(), nn.CrossEntropyLoss(), X, LABELS, PARTS).metrics(torch.zeros(1, 103).double()), 'reduction="none"'),
    ],
)
def test_it_is_refused(build, words):
    with pytest.raises(ValueError, match=words) as error:
        build()
    assert str(error.value).endswith(".")


def test_a_trace_of_other_workers_is_refused():
    trace = simulate(clusters.equal(3), METHODS["asgd"](lr=0.1), arrivals=5)
    with pytest.raises(ValueError, match="3 workers and the problem 4"):
        replay(trace, METHODS["asgd"](lr=0.1), Softmax(X, LABELS, PARTS))
