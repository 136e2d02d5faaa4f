"""What the tests of real runs share: small problems, and a server in a process of its own that may be killed."""

from __future__ import annotations

import time
from multiprocessing import get_context
from pathlib import Path

import torch

from asgd_lib import METHODS, Trace, clusters, data, partition, problems, replay, serve
from asgd_lib.distributed.children import Fault

SECONDS = 60.0  # no test waits longer for another process


def digits(n: int = 4) -> problems.Softmax:
    """A softmax regression on the digits, split unevenly."""
    X, y, *_ = data.load("digits")
    return problems.Softmax(X, y, partition.dirichlet(y, n, alpha=0.5, seed=0), batch=8)


def noisy(n: int = 4) -> problems.Quadratic:
    """A noisy quadratic in six dimensions."""
    draw = torch.Generator().manual_seed(n)
    b = torch.randn(n, 6, generator=draw, dtype=torch.float64)
    return problems.Quadratic(0.5 + torch.rand(n, 6, generator=draw, dtype=torch.float64), b, sigma=0.3)


class Broken(problems.Quadratic):
    """Fails in the gradient of job 20."""

    def grad(self, x, worker, job, seed):
        if (job == 20).any():
            raise ZeroDivisionError("job 20 went wrong")
        return super().grad(x, worker, job, seed)


def replayed(trace: Trace, method, problem, seed: int = 0) -> torch.Tensor:
    """The last model (d,) of a replay that computes as workers do: one gradient at a time, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return replay(trace, method, problem, seeds=[seed], every=len(trace) + 1, jobs_per_call=1).attrs["x"][0]
    finally:
        torch.set_num_threads(threads)


def drive(name: str, hyper: dict, n: int, arrivals: int, folder: Path, resume: bool, faults: list[Fault]) -> None:
    """Serve a noisy quadratic in this process, and leave the last model in the folder."""
    cluster = clusters.Exponential((0.002,) * n)
    served = serve(
        noisy(n), METHODS[name](0.02, **hyper), arrivals=arrivals, cluster=cluster, seed=7, folder=folder, resume=resume,
        checkpoint_every=0.05, timeout=SECONDS / 3, faults=faults,
    )  # fmt: skip
    torch.save(served.x, folder / "x.pt")


def server_process(*arguments):
    """A started process that runs `drive`."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["asgd_lib.distributed.worker"])
    process = context.Process(target=drive, args=arguments)
    process.start()
    return process


def recorded(folder: Path) -> int:
    """How many arrivals the journal of a run holds by now."""
    path = folder / "journal"
    return len(Trace.load(path)) if path.exists() and path.stat().st_size else 0


def wait_for(folder: Path, arrivals: int, alive=lambda: True) -> None:
    """Return once the journal holds so many."""
    deadline = time.monotonic() + SECONDS
    while recorded(folder) < arrivals:
        assert alive() and time.monotonic() < deadline
        time.sleep(0.005)


def kill_after(process, folder: Path, arrivals: int) -> None:
    """Kill the server once its journal holds so many arrivals."""
    wait_for(folder, arrivals, process.is_alive)
    process.kill()
    process.join()
