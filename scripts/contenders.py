"""What replay is measured against: the event loop that one would write by hand, and the gradients alone.

Where they are timed, `replay` gets its problem `unevaluated`: the others do not look at the objective either.

    python scripts/contenders.py plain|replay WORKLOAD N ARRIVALS     one of them in a process of its own; prints peak memory in MB
"""

from __future__ import annotations

import copy
import heapq
import re
import resource
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import asgd_lib as asgd
from asgd_lib.rules import SGD
from asgd_lib.rules.base import Arrivals, descend

WORKLOADS = ("quadratic d=100, noisy", "softmax, digits", "softmax 784-10", "MLP 784-128-10", "CNN, digits")
LR = 0.01
AHEAD = 1024  # jobs whose samples are drawn in one call


class Quad(nn.Module):
    """1/2 |x|^2, as one would write it for autograd; the noise is added to the gradient by a linear term."""

    def __init__(self, d: int):
        super().__init__()
        self.x = nn.Parameter(torch.ones(d, dtype=torch.float64))


def workload(name: str, n: int, rows: int = 20_000) -> tuple[asgd.problems.Problem, nn.Module]:
    """Our problem for `n` workers, minibatch 32, and the module that the plain loop trains on the same data."""
    if name.startswith("quadratic"):
        ones = torch.ones(n, 100, dtype=torch.float64)
        return asgd.problems.Quadratic(ones, 0 * ones, sigma=1.0, x0=ones[0]), Quad(100)
    if "digits" in name:
        X, y, *_ = asgd.data.load("digits")
    else:
        generator = torch.Generator().manual_seed(0)
        X, y = torch.randn(rows, 784, generator=generator), torch.randint(0, 10, (rows,), generator=generator)
    parts = asgd.partition.iid(len(y), n, seed=0)
    if name.startswith("softmax"):
        return asgd.problems.Softmax(X, y, parts), nn.Linear(X.shape[1], 10)
    if name.startswith("MLP"):
        return asgd.problems.MLP(X, y, parts), nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    problem = asgd.problems.SmallCNN(X, y, parts)
    return problem, copy.deepcopy(problem.module).to(memory_format=torch.contiguous_format)  # as torch makes it


def cluster(n: int, sigma: float = 1.0) -> asgd.clusters.Cluster:
    return asgd.clusters.LogNormal((1.0,) * n, sigma=sigma)


def unevaluated(problem: asgd.problems.Problem) -> asgd.problems.Problem:
    """The problem with metrics that cost nothing and say nothing."""
    quiet = copy.copy(problem)
    quiet.metrics = lambda x: dict.fromkeys(("loss", "grad_norm_sq"), torch.zeros(len(x)))
    return quiet


def plain_loop(problem, module: nn.Module, n: int, arrivals: int) -> None:
    """Asynchronous SGD as a researcher would write it in an afternoon: a heap, a copy of the model for every worker, autograd."""
    clock, generator = cluster(n).clock(0), torch.Generator().manual_seed(0)
    parameters = list(module.parameters())
    held = [[p.detach().clone() for p in parameters] for _ in range(n)]
    server = [p.detach().clone() for p in parameters]
    begun = [1] * n
    heap = [(clock(w, 0, 0.0)[0], w) for w in range(n)]
    heapq.heapify(heap)
    for _ in range(arrivals):
        now, w = heapq.heappop(heap)
        with torch.no_grad():
            for p, value in zip(parameters, held[w], strict=True):
                p.copy_(value)
        if isinstance(module, Quad):
            noise = torch.randn(len(module.x), dtype=torch.float64, generator=generator) / len(module.x) ** 0.5
            loss = 0.5 * module.x.square().sum() + module.x @ noise
        else:
            part = problem.samples_of(w)
            rows = part[torch.randint(0, len(part), (problem.batch,), generator=generator)]
            loss = nn.functional.cross_entropy(module(problem.X[rows]), problem.y[rows])
        for p, g in zip(server, torch.autograd.grad(loss, parameters), strict=True):
            p -= LR * g
        for mine, value in zip(held[w], server, strict=True):
            mine.copy_(value)
        heapq.heappush(heap, (now + clock(w, begun[w], now)[0], w))
        begun[w] += 1


class KeptState(NamedTuple):
    x: Tensor
    k: int
    n: int
    table: list[Tensor]  # each worker's last gradient


@dataclass(frozen=True)
class Kept(SGD):
    """Asynchronous SGD whose server also copies each gradient into its worker's row, and reads none: the least that a table costs."""

    def init(self, x0: Tensor, n: int) -> KeptState:
        return KeptState(x0, 0, n, [torch.zeros_like(x0) for _ in range(n)])

    def receive_all(self, s: KeptState, a: Arrivals) -> Iterator[KeptState]:
        for grad, worker, x in zip(a.grads, a.workers, descend(s.x, self.lr, a.grads), strict=True):
            s.table[worker].copy_(grad)
            s = KeptState(x, s.k + 1, s.n, s.table)
            yield s


def replayed(problem, n: int, arrivals: int, name: str = "asgd", sigma: float = 1.0) -> None:
    """The same by `simulate` and `replay`, or another method of the table, or "kept"."""
    method = replace(asgd.METHODS["asgd"](lr=LR), rule=Kept(LR)) if name == "kept" else asgd.METHODS[name](lr=LR)
    asgd.replay(asgd.simulate(cluster(n, sigma), method, arrivals=arrivals), method, problem, every=arrivals)


def calls(problem, n: int, arrivals: int) -> list[int]:
    """How many jobs each gradient call of replay has: as many as wait for no gradient that is still to come."""
    sizes, grad_at = [], problem.grad_at

    def counted(x, *rest):
        sizes.append(len(x))
        return grad_at(x, *rest)

    problem.grad_at = counted
    try:
        replayed(problem, n, arrivals)
    finally:
        del problem.grad_at
    return sizes


@torch.no_grad()
def gradients_alone(problem, n: int, sizes: list[int], steps: bool = False) -> None:
    """As many gradients as `sizes` says, call by call, at n models that lie in one piece of memory; samples of many calls drawn at once.

    With `steps` also the least that an asynchronous server does: every gradient makes a new model, which waits for its turn among n that
    lie here and there.
    """
    x = problem.x0.expand(max(n, *sizes), 1, 1, -1).contiguous()
    server, held, gathered = x[0], deque(model.clone() for model in x), torch.empty(0, dtype=x.dtype)
    seed, lr = torch.zeros(1, dtype=torch.int64), torch.full((1, 1), LR, dtype=x.dtype)
    job = torch.arange(sum(sizes))
    worker, first, low, high = job % n, 0, 0, 0
    for size in sizes:
        if first + size > high:
            low, high = first, min(len(job), first + max(size, AHEAD))
            draws = problem.draws(worker[low:high], job[low:high], seed)
        now, model = slice(first - low, first - low + size), first % (len(x) - size + 1)
        models = x[model : model + size]
        if steps:
            models = torch.stack([held.popleft() for _ in range(size)], out=gathered.resize_(models.shape))
        grads = problem.grad_at(models, worker[low:high][now], tuple(draw[now] for draw in draws))
        if steps:
            held.extend(descend(server, lr, list(grads.unbind(0))))
            server = held[-1]
        first += size


def main() -> int:
    who, name, n, arrivals = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    problem, module = workload(name, n, rows=60_000)
    if who == "plain":
        plain_loop(problem, module, n, arrivals)
    else:
        replayed(problem, n, arrivals)
    status = Path("/proc/self/status")  # getrusage's peak counts the parent's memory at the fork
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    print(int(peak[1]) / 1024 if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
