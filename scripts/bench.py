"""Replay against the plain event loop and against the gradients alone, as ratios in one run on this machine.

    python scripts/bench.py [--arrivals 4000] [--repeats 3] [--json FILE]

Three contenders do the same work, n = 100 workers of log-normal speeds, in turns within one process: (a) the event loop that one would
write by hand (a heap, a copy of the parameters for every worker, autograd for every event), (b) `replay` along the same trace, (c) the
gradients alone, at the best batch size. A ratio above 1 says that replay is faster. Minima over the repeats, one thread.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

import asgd_lib as asgd
from asgd_lib.atomic import atomic_path

N = 100


class Quad(nn.Module):
    """1/2 |x|^2 with additive noise, as one would write it for autograd."""

    def __init__(self, d: int):
        super().__init__()
        self.x = nn.Parameter(torch.ones(d, dtype=torch.float64))


def problems(generator: torch.Generator) -> dict[str, tuple[asgd.problems.Problem, nn.Module | None]]:
    """The workloads: ours, and the module that the plain loop trains."""
    X, y = torch.randn(20_000, 784, generator=generator), torch.randint(0, 10, (20_000,), generator=generator)
    parts = asgd.partition.iid(len(y), N, seed=0)
    D, t, *_ = asgd.data.load("digits")
    digit_parts = asgd.partition.iid(len(t), N, seed=0)
    ones = torch.ones(N, 100, dtype=torch.float64)
    mlp = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return {
        "quadratic d=100, noisy": (asgd.problems.Quadratic(ones, 0 * ones, sigma=1.0, x0=ones[0]), Quad(100)),
        "softmax, digits": (asgd.problems.Softmax(D, t, digit_parts), nn.Linear(D.shape[1], 10)),
        "softmax 784-10": (asgd.problems.Softmax(X, y, parts), nn.Linear(784, 10)),
        "MLP 784-128-10": (asgd.problems.MLP(X, y, parts), mlp),
    }


def plain_loop(cluster, problem, module: nn.Module, arrivals: int, lr: float) -> None:
    """Asynchronous SGD as a researcher would write it in an afternoon."""
    clock, generator = cluster.clock(0), torch.Generator().manual_seed(0)
    parameters = list(module.parameters())
    held = [[p.detach().clone() for p in parameters] for _ in range(cluster.n)]
    server = [p.detach().clone() for p in parameters]
    begun = [1] * cluster.n
    heap = [(clock(w, 0, 0.0)[0], w) for w in range(cluster.n)]
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
            p -= lr * g
        for mine, value in zip(held[w], server, strict=True):
            mine.copy_(value)
        heapq.heappush(heap, (now + clock(w, begun[w], now)[0], w))
        begun[w] += 1


def gradients_alone(problem, arrivals: int, jobs: int) -> None:
    """The same number of gradients, `jobs` a call, and nothing else."""
    x = problem.x0.expand(jobs, 1, -1).contiguous()
    seed = torch.zeros(1, dtype=torch.int64)
    for first in range(0, arrivals, jobs):
        job = torch.arange(first, first + jobs)
        problem.grad(x, job % N, job, seed)


def seconds(work, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arrivals", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cluster = asgd.clusters.LogNormal((1.0,) * N, sigma=1.0)
    method = asgd.METHODS["asgd"](lr=0.01)
    rows = []
    print(f"{'':26}{'plain loop':>14}{'replay':>14}{'replay / plain':>16}{'of the gradient limit':>24}")
    for name, (problem, module) in problems(torch.Generator().manual_seed(0)).items():
        E = options.arrivals

        def ours(problem=problem, E=E):
            asgd.replay(asgd.simulate(cluster, method, arrivals=E), method, problem, every=E)

        a = seconds(lambda p=problem, m=module, E=E: plain_loop(cluster, p, m, E, 0.01), options.repeats)
        b = seconds(ours, options.repeats)
        with torch.no_grad():
            c = min(seconds(lambda p=problem, j=jobs, E=E: gradients_alone(p, E, j), options.repeats) for jobs in (8, 16, 32, 64))
        rows.append({"problem": name, "plain_per_s": E / a, "replay_per_s": E / b, "speedup": a / b, "of_limit": c / b})
        print(f"{name:26}{E / a:>11,.0f}/s {E / b:>11,.0f}/s {a / b:>14.2f}x {c / b:>22.0%}", flush=True)
    big = asgd.clusters.Exponential((1.0,) * 1000)
    events = 200_000
    t = seconds(lambda: asgd.simulate(big, method, arrivals=events), 1)
    print(f"simulate, 1,000 workers: {events / t:,.0f} arrivals/s")
    if options.json:
        with atomic_path(options.json) as path:
            path.write_text(json.dumps({"replay": rows, "simulate_per_s": events / t}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
