"""What the engine's tests share: every method with its variants, small clusters and problems, and a replay without machinery."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from asgd_lib import METHODS, clusters
from asgd_lib.conformance.setting import FIXED, RANDOM, by_hand, named_tensors, quadratic

__all__ = ["FIXED", "RANDOM", "by_hand", "quadratic"]  # the library's own setting

VARIANTS = {
    "asgd_delay_adaptive": [{"drop": True}],
    "dude": [{"n_arrivals": 2}, {"warm_up": "broadcast"}, {"warm_up": "next"}, {"n_arrivals": 3, "warm_up": "broadcast"}],
    "fedbuff": [{"buffer": 1}, {"buffer": 3}],
    "mifa": [{"participation": 0.2}, {"participation": 1.0}],
    "asgd_rescaled": [{"times": (1.0, 1.5, 2.0, 4.5)}],
    "sgd_minibatch": [{"momentum": 0.9}],
    "ormo": [{"plain_step": True}, {"momentum": 0.0}],
    "ormo_da": [{"threshold": 0.5}],
    "hogwild_local": [
        {"gap": 0, "samples": 2},
        {"gap": 2, "growth": "constant"},
        {"growth": "log", "samples": 4},
        {"samples": 4, "decay": 0.05},
        {"samples": 4, "decay": 0.6, "schedule": "sqrt"},
    ],
    "local_sgd": [{"local_steps": 1}, {"local_steps": 3, "decay": 0.01}],
    "rennala": [{"batch": 1}, {"batch": 6}],
    "malenia": [{"batch": 12}],
    "ringmaster": [{"threshold": 2}, {"threshold": 2, "stop": True}, {"threshold": math.inf, "stop": True}],
    "mindflayer": [{"trials": 2, "limit": 2.5, "success": 0.8}, {"limit": 4.0}],
    "vecna": [{"trials": 2, "limit": 2.5, "success": 0.8}],
    "naive_optimal": [{"workers": (2, 0)}],
    "delay_filter": [{"batch": 2, "momentum": 0.0}],
    "k_async": [{"k": 1}, {"k": 3}],
    "k_sync": [{"k": 1}, {"k": 3}],
    "ca2fl": [{"buffer": 1}],
    "aced": [{"oldest": 4}],
    "asgd_staleness_aware": [{"power": 0.5}],
    "asgd_clipped": [{"radius": 0.3}],
    "picky": [{"radius": 0.2}],
    "fedasync": [{"mixing": 1.0, "power": 1.0}],
    "daso": [
        {"per_node": 2},
        {"skip": 0, "wait": 0, "compress": True},
        {"skip": 2, "wait": 1, "early_return": True},
        {"per_node": 2, "skip": 8, "wait": 2, "local_skip": 2, "momentum": 0.5},
        {"epoch": 5, "schedule": ((0, 0), (4, 2), (1, 1)), "epoch_sync": True},
    ],
}
CASES = {METHODS[name](0.1, **hyper).label: (name, hyper) for name in METHODS for hyper in [{}, *VARIANTS.get(name, [])]}

every_method = pytest.mark.parametrize(("name", "hyper"), CASES.values(), ids=CASES)
every_name = pytest.mark.parametrize("name", list(METHODS))

laws = settings(max_examples=120, deadline=None, derandomize=True)


def tensors(state) -> list[torch.Tensor]:
    """All tensors inside nested tuples."""
    return [tensor for _, tensor in named_tensors(state)]


class Slope:
    """f(x) = |x| in one dimension with the gradient -1 that drives x upwards by lr a step; keeps a record of its calls."""

    gradient_bytes = 8

    def __init__(self, n=4, x0=0.0, dtype=torch.float64):
        self.n, self.x0, self.calls = n, torch.tensor([x0], dtype=dtype), []

    def grad(self, x, worker, job, seed):
        assert x.shape == (len(worker), len(seed), 1) and job.shape == worker.shape
        self.calls.append(job.tolist())
        return -torch.ones_like(x)

    def full_grad(self, x, worker=None):
        return -torch.ones_like(x)

    def metrics(self, x):
        return {"loss": x.abs().sum(-1), "grad_norm_sq": torch.ones(len(x))}


@st.composite
def any_cluster(draw, most: int = 6, phases: bool = True):
    """A random cluster of up to `most` workers that never leave; whole seconds make ties."""
    n = draw(st.integers(1, most))
    whole = st.integers(1, 3).map(float)
    times = tuple(draw(st.lists(st.one_of(whole, st.floats(0.125, 8.0)), min_size=n, max_size=n)))
    kind = draw(st.sampled_from(["Fixed", "Exponential", "LogNormal", "Pareto", "Uniform", *["Switching"] * phases]))
    if kind == "Uniform":
        return clusters.Uniform(times, tuple(2 * t for t in times))
    if kind == "Switching":
        return clusters.Switching(times, tuple(3 * t for t in times), period=draw(st.floats(0.5, 20.0)))
    return getattr(clusters, kind)(times)


def local_sizes(samples, growth, n, rounds):
    """Gradients of each of n workers in rounds 0, 1, ... of hogwild_local."""
    totals = {"constant": lambda i: samples, "linear": lambda i: samples * (i + 1), "log": lambda i: samples * (i + 1) / math.log(i + 2)}
    return [max(1, math.ceil(totals[growth](i) / n)) for i in range(rounds)]
