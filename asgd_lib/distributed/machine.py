"""A rule at work in one run: what the server of a real run computes, and what a resumed one computes again."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.distributed.checkpoint import load, save
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.rules import Arrival, over_runs


class Read(NamedTuple):
    """What a job computes on."""

    x: Tensor  # (1, d)
    k: int  # updates made when it was read


def gradient(problem: Problem, x: Tensor, worker: int, job: int, seed: int) -> Tensor:
    """(1, d) the stochastic gradient of `job` at the model `x` (1, d): the same function of them in any process."""
    numbers = (torch.tensor([v], device=x.device) for v in (worker, job, seed))
    with torch.no_grad():
        return problem.grad(x.view(1, 1, -1), *numbers)[0]


class Machine:
    """The rule's state in a single run, `(1, d)`, and the models on which outstanding jobs compute."""

    def __init__(self, method: Method, x0: Tensor, n: int):
        self.rule = over_runs(method.rule, like=x0)
        self.state = self.rule.init(x0.expand(1, -1).clone(), n)
        self.reads: dict[int, Read] = {}
        self.used = 0

    def hand_out(self, job: int, worker: int) -> None:
        """Remember the present model, which is what `job` of `worker` computes on."""
        x = self.rule.read(self.state, worker) if hasattr(self.rule, "read") else self.state.x
        self.reads[job] = Read(x, self.state.k)

    def ready(self, worker: int) -> bool:
        """Whether the rule lets `worker` compute now."""
        return self.rule.ready(self.state, worker) if hasattr(self.rule, "ready") else True

    def receive(self, job: int, worker: int, seconds: float, grad: Tensor) -> None:
        """Apply the gradient (1, d) of `job`."""
        after = self.rule.receive(self.state, Arrival(grad, worker, self.state.k - self.reads.pop(job).k, seconds))
        self.used += after is not self.state
        self.state = after

    def save(self, path: str | os.PathLike, events: int) -> None:
        """Write a checkpoint after so many `events` of the journal; the file is whole or absent."""
        reads = {job: tuple(read) for job, read in self.reads.items()}
        save({"state": self.state, "reads": reads, "used": self.used, "events": events}, path)

    def load(self, path: str | os.PathLike) -> int:
        """Take over a checkpoint; the number of events before it. ValueError where it is damaged or of another rule."""
        saved = load(path, self.rule, self.state)
        self.state, self.used = saved["state"], saved["used"]
        self.reads = {job: Read(*read) for job, read in saved["reads"].items()}
        return saved["events"]
