"""The work that every contender does, without asgd_lib, so that each peer's own environment can import it.

60,000 random samples of 784 features in 10 classes, dealt out evenly among n workers; one gradient of 32 samples a job; step size 0.02;
workers whose speeds are lognormal(0, 1). One thread. Set-up, evaluation and logging are outside the clock, as far as a peer lets them be.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import torch
from torch import nn

SAMPLES, FEATURES, CLASSES, BATCH, LR = 60_000, 784, 10, 32, 0.02


def torchvision_imports() -> None:
    """Peers import torchvision, whose wheel may be built for another torch and then lacks its operators; nobody uses them here."""
    register = torch.library.register_fake
    torch.library.register_fake = lambda op, *a, **k: (lambda f: f) if str(op).startswith("torchvision::") else register(op, *a, **k)


def given() -> tuple[str, int, int]:
    """Model, workers and updates, as the command line names them: MODEL N UPDATES."""
    torch.set_num_threads(1)
    return sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SAMPLES, FEATURES, generator=generator), torch.randint(0, CLASSES, (SAMPLES,), generator=generator)


def network(model: str) -> nn.Module:
    torch.manual_seed(0)
    if model == "softmax 784-10":
        return nn.Linear(FEATURES, CLASSES)
    return nn.Sequential(nn.Linear(FEATURES, 128), nn.ReLU(), nn.Linear(128, CLASSES))


def part(worker: int, n: int) -> list[int]:
    """The samples of one worker."""
    return list(range(worker, SAMPLES, n))


def speeds(n: int) -> list[float]:
    """Seconds a gradient of every worker."""
    draw = random.Random(0)
    return [draw.lognormvariate(0.0, 1.0) for _ in range(n)]


def measured(package: str, updates: int, run: Callable[[], object]) -> None:
    """Run, and print the processor seconds that it took as the last line."""
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=LR)  # the first one imports much of torch
    weight.sum().backward()
    optimizer.step()
    start = time.process_time()
    run()
    print(json.dumps({"version": version(package), "updates": updates, "seconds": time.process_time() - start}), flush=True)
