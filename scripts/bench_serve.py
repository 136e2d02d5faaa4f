"""`serve` against a parameter server of thirty lines, on the same gradients, as ratios in one run on this machine.

    python scripts/bench_serve.py [--arrivals 2000] [--workers 2 4] [--repeats 3] [--json FILE]

The plain server is what one writes by hand over gloo: receive from anybody, step, send the model back; no policy, no record, no faults.
Both run ASGD on real processes, in turns. Reported: arrivals a second of both and their ratio, and what our server itself costs an arrival
(policy, rule, journal on disk), beyond gradient and transport. Medians over the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.distributed as dist

import asgd_lib as asgd
from asgd_lib.atomic import atomic_path
from asgd_lib.distributed.link import LOOPBACK, listen
from asgd_lib.distributed.machine import gradient

LR = 0.01


def problem_of(name: str, n: int):
    """A workload by name, so that every process makes its own."""
    X, y, *_ = asgd.data.load("digits" if "digits" in name else "fashion_mnist_small")
    kind = asgd.problems.MLP if name.startswith("MLP") else asgd.problems.Softmax
    return kind(X, y, asgd.partition.iid(len(y), n, seed=0))


def plain(rank: int, name: str, n: int, arrivals: int, port: int, answer) -> None:
    """The parameter server of thirty lines: rank 0 serves, the others compute."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.TCPStore(LOOPBACK, port, n + 1, is_master=False, wait_for_workers=False)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=n + 1)
    problem = problem_of(name, n)
    x, g = problem.x0.clone(), torch.empty_like(problem.x0)
    dist.barrier()
    if rank == 0:
        began = time.perf_counter()
        for w in range(1, n + 1):
            dist.send(x, w)
        for _ in range(arrivals):
            worker = dist.recv(g)
            x -= LR * g
            dist.send(x, worker)
        answer.send(time.perf_counter() - began)
        os._exit(0)
    for job in range(10**9):
        try:
            dist.recv(x, 0)
            dist.send(gradient(problem, x.view(1, -1), rank - 1, job * n + rank - 1, 0)[0], 0)
        except RuntimeError:  # the server is done
            os._exit(0)


def time_plain(name: str, n: int, arrivals: int) -> float:
    """Seconds of the plain server."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["asgd_lib.distributed.worker"])
    store, port = listen()
    ours, theirs = context.Pipe()
    members = [context.Process(target=plain, args=(r, name, n, arrivals, port, theirs), daemon=True) for r in range(n + 1)]
    for process in members:
        process.start()
    seconds = ours.recv()
    for process in members:
        process.kill()
        process.join()
    del store
    return seconds


def measure(name: str, n: int, arrivals: int, repeats: int) -> dict[str, float]:
    """Both servers in turns on one workload."""
    rows = []
    for _ in range(repeats):
        seconds = time_plain(name, n, arrivals)
        with tempfile.TemporaryDirectory() as folder:
            served = asgd.serve(problem_of(name, n), asgd.METHODS["asgd"](LR), arrivals=arrivals, folder=Path(folder) / "run")
        rows.append((arrivals / seconds, arrivals / served.seconds, seconds / served.seconds, 1e6 * served.busy / arrivals))
    names = ("plain", "serve", "ratio", "own_us")  # arrivals a second of both, the ratio of their times, our server's own microseconds
    return dict(zip(names, map(statistics.median, zip(*rows, strict=True)), strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arrivals", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = []
    for n in given.workers:
        for name in ("softmax, digits", "MLP 784-128-10"):
            table.append({"workload": name, "workers": n} | measure(name, n, given.arrivals, given.repeats))
            print(
                *(f"{what} {value:.4g}" if isinstance(value, float) else value for what, value in table[-1].items()), sep="  ", flush=True
            )
    if given.json:
        with atomic_path(given.json) as temporary:
            temporary.write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
