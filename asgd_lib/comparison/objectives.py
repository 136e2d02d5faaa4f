"""The problems of a contest, each with the level that counts as solved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asgd_lib import data, partition
from asgd_lib.checks import choice
from asgd_lib.problems import MLP, Problem, Quadratic, Softmax

SPLITS = ("iid", "dirichlet", "one class")
"""Who holds what: everybody the same mixture of classes; mixtures drawn from Dirichlet(0.3); one class each."""
_ALPHA = 0.3


class Objective(NamedTuple):
    """A problem, and the value of `metric` at which it counts as solved."""

    problem: Problem
    metric: str
    target: float


def quadratic(n: int, split: str, *, seed: int = 0, share: float = 0.02) -> Objective:
    """n quadratics with L = 1, mu = 0.2, d = 16 and gradient noise sigma = 4; solved when the gap is `share` of what it was.

    f_i(x) = 1/2 x'A x - b_i'x, A diagonal, b_i = m + sum_c w_ic (v_c - mean v): class c has the vector v_c, and worker i the share w_ic of
    the classes 0..n-1. Coordinates of m are N(0, 1), those of v_c N(0, 4). Means over workers are m for "iid" and "one class".
    """
    draw = np.random.default_rng([seed, 1])
    d = 16
    centre, classes = draw.standard_normal(d), 2.0 * draw.standard_normal((n, d))
    b = centre + shares(split, n, seed) @ (classes - classes.mean(0))
    A = torch.logspace(np.log10(0.2), 0.0, d, dtype=torch.float64).expand(n, d)
    problem = Quadratic(A, torch.from_numpy(b), sigma=4.0)
    return Objective(problem, "gap", share * float(problem.metrics(problem.x0[None])["gap"]))


def digits(n: int, split: str, *, seed: int = 0, share: float = 0.05, samples: int = 30) -> Objective:
    """Softmax regression (l2 = 0.01) on the digits, `samples` images a class, their 24 principal components, 8 images a gradient.

    Solved when the loss above its minimum is `share` of what it was. Components are scaled to a mean squared norm of 32.
    """
    X, y = _few("digits", samples)
    centred = X - X.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:24]
    features, owners = _scaled(centred @ (axes * torch.sign(axes.sum(1, keepdim=True))).T, 32.0), parts(split, y, n, seed)
    exact = Softmax(features, y, owners, l2=0.01)
    first, least = (float(exact.metrics(x[None])["loss"]) for x in (exact.x0, minimiser(exact)))
    problem = Softmax(features.float(), y, owners, batch=8, l2=0.01)
    problem.classifies = False  # nobody asks for the accuracy
    return Objective(problem, "loss", least + share * (first - least))


def fashion(n: int, split: str, *, seed: int = 0, share: float = 0.5, samples: int = 30) -> Objective:
    """A network of one hidden layer (16 units) on Fashion-MNIST, `samples` images a class, averaged to 7 x 7, 8 images a gradient.

    Solved when the loss is `share` of what it was: where its minimum lies, nobody knows.
    """
    X, y = _few("fashion_mnist_small", samples)
    small = X.view(-1, 7, 4, 7, 4).mean((2, 4)).flatten(1)
    problem = MLP(_scaled(small - small.mean(0), 16.0).float(), y, parts(split, y, n, seed), batch=8, hidden=16)
    problem.classifies = False
    return Objective(problem, "loss", share * float(problem.metrics(problem.x0[None])["loss"]))


PROBLEMS: Mapping[str, Callable[..., Objective]] = {"quadratic": quadratic, "digits": digits, "fashion": fashion}
"""Name -> problem and target, as a function of n and the name of a split."""


def shares(split: str, n: int, seed: int) -> np.ndarray:
    """(n, n): the share of class c in worker i's data; rows add up to 1."""
    choice("split", split, SPLITS)
    if split == "iid":
        return np.full((n, n), 1.0 / n)
    return np.eye(n) if split == "one class" else np.random.default_rng([seed, 2]).dirichlet((_ALPHA,) * n, n)


def parts(split: str, y: Tensor, n: int, seed: int) -> list[np.ndarray]:
    """The samples of each of n workers; "one class" deals whole classes and needs as many as there are workers."""
    choice("split", split, SPLITS)
    if split == "iid":
        return partition.iid(y, n, seed=seed)
    if split == "dirichlet":
        return partition.dirichlet(y, n, _ALPHA, seed=seed)
    labels = np.unique(y.numpy())
    if len(labels) != n:
        raise ValueError(f"One class a worker needs as many workers as classes; got {n} workers and {len(labels)} classes.")
    return [np.flatnonzero(y.numpy() == label) for label in labels]


def minimiser(problem: Problem, tolerance: float = 1e-4) -> Tensor:
    """(d,) where the exact gradient of a smooth, strongly convex problem is at most `tolerance` of that at x0, by L-BFGS.

    RuntimeError where 2000 evaluations do not get there.
    """
    x = problem.x0.clone().requires_grad_()
    first = float(problem.full_grad(problem.x0).norm())

    def closure() -> Tensor:
        x.grad = problem.full_grad(x.detach())
        return problem.metrics(x.detach()[None])["loss"][0]

    enough = tolerance * first / len(x) ** 0.5  # if no coordinate of the gradient is larger, its norm is small enough
    search = torch.optim.LBFGS([x], 1.0, 1000, 2000, tolerance_grad=enough, tolerance_change=0.0, line_search_fn="strong_wolfe")
    search.step(closure)
    found = x.detach()
    if float(problem.full_grad(found).norm()) > tolerance * first:
        raise RuntimeError(f"L-BFGS did not find a minimum to {tolerance:g} of the first gradient.")
    return found


def _few(name: str, samples: int) -> tuple[Tensor, Tensor]:
    """The first `samples` images of each class in file order, in double precision."""
    X, y, _, _ = data.load(name)
    chosen = torch.cat([torch.nonzero(y == label).flatten()[:samples] for label in y.unique()])
    return X[chosen].double(), y[chosen]


def _scaled(X: Tensor, mean_square: float) -> Tensor:
    """Samples (N, features) with this mean squared norm."""
    return X * (mean_square / X.square().sum(1).mean()).sqrt()
