"""Objectives split over workers: each gives batched stochastic gradients and exact metrics."""

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
