"""Objectives split over workers: each gives batched stochastic gradients and exact metrics.

Those over a data set take `X` (N, features), `y` (N,) and `parts`, one array of sample indices a worker, as `partition` makes them. A
stochastic gradient of worker i is the mean over `batch` of its own samples, drawn uniformly with replacement; `l2` is the factor of
l2/2 |x|^2 in every loss; f is the mean of the workers' means, whatever their sizes. `test` is an (X, y) on which the accuracy is measured
(default: the training samples).
"""

from asgd_lib.arguments import guard
from asgd_lib.problems.base import Problem
from asgd_lib.problems.char_lm import CharLM
from asgd_lib.problems.linear import LeastSquares, LogisticRegression, Softmax
from asgd_lib.problems.mlp import MLP
from asgd_lib.problems.published import delay_independent_least_squares
from asgd_lib.problems.quadratic import Quadratic
from asgd_lib.problems.resnet import ResNet
from asgd_lib.problems.torch_module import SmallCNN, TorchModule

__all__ = [
    "Problem",
    "Quadratic",
    "LeastSquares",
    "LogisticRegression",
    "Softmax",
    "MLP",
    "SmallCNN",
    "ResNet",
    "CharLM",
    "TorchModule",
    "delay_independent_least_squares",
]

guard(__name__)
