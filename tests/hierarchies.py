"""What the tests of synchronous and hierarchical jobs share: problems, and ones that harm the process that computes them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import torch

from asgd_lib import METHODS, data, partition, problems, replay
from asgd_lib.distributed.hierarchy import run_hierarchy


def digits(n: int, hidden: int = 12) -> problems.MLP:
    """A small network on the digits, in double precision: what is left between a run and its replay is the order of sums."""
    X, y, parts = images(n)
    return problems.MLP(X, y, parts, batch=8, hidden=hidden)


def images(n: int = 2) -> tuple:
    """The digits, and an uneven split of them."""
    X, y, *_ = data.load("digits")
    return X.double(), y, partition.dirichlet(y, n, alpha=0.5, seed=0)


def apart(measured, method, problem, seed: int = 0) -> float:
    """The largest difference between the model of a run and that of its trace replayed, over the largest coordinate."""
    x = replay(measured.trace, method, problem, seeds=[seed], every=10**6).attrs["x"][0]
    assert (x - problem.x0).abs().max() > 0.01, "nothing was learnt"
    return float((x - measured.x).abs().max() / x.abs().max())


class Harmed(problems.Quadratic):
    """A quadratic whose worker `victim` sends itself `harm` at its batch 5; every process leaves its number in `folder`."""

    def __init__(self, n: int, folder: Path, victim: int = 1, harm: int = signal.SIGKILL):
        super().__init__(torch.ones(n, 3, dtype=torch.float64), torch.zeros(n, 3, dtype=torch.float64), x0=torch.ones(3).double())
        self.folder, self.victim, self.harm, self.calls = folder, victim, harm, 0

    def grad(self, x, worker, job, seed):
        (self.folder / str(os.getpid())).touch()
        self.calls += 1
        if int(worker[0]) == self.victim and self.calls == 6:
            os.kill(os.getpid(), self.harm)
        return super().grad(x, worker, job, seed)


class Wrong(problems.Quadratic):
    """A quadratic without a gradient for the last worker."""

    def grad(self, x, worker, job, seed):
        if int(worker[0]) == self.n - 1:
            raise ArithmeticError("no gradient today")
        return super().grad(x, worker, job, seed)


def train_for_ever(folder: Path) -> None:
    """A job of two processes that ends only from outside."""
    run_hierarchy(Harmed(2, folder, harm=0), METHODS["sgd_minibatch"](0.1), nodes=2, batches=10**6)


def gone(folder: Path, within: float = 30.0) -> bool:
    """Whether all processes that left their number in `folder` have ended, or do so within seconds."""
    numbers = [int(path.name) for path in folder.iterdir()]
    assert numbers
    end = time.monotonic() + within
    while any(runs(number) for number in numbers):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def runs(number: int) -> bool:
    """Whether the process is there and has not ended; one that has may stay in the table until somebody asks for its exit code."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
