"""`serve`: the same methods on real processes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from asgd_lib.arguments import guard
from asgd_lib.checks import count
from asgd_lib.clusters import Cluster
from asgd_lib.distributed.children import Children, Fault
from asgd_lib.distributed.link import LOOPBACK, connect, listen
from asgd_lib.distributed.session import Run, Served
from asgd_lib.distributed.torchrun import Place, announce, place, work_at
from asgd_lib.methods import Method
from asgd_lib.problems import Problem


def serve(
    problem: Problem,
    method: Method,
    *,
    n_workers: int | None = None,
    arrivals: int,
    cluster: Cluster | None = None,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    timeout: float = 60.0,
    faults: Sequence[Fault] = (),
    meta: Mapping[str, str] | None = None,
) -> Served | None:
    """Run `method` on real processes until the server has processed `arrivals` gradients.

    Starts `n_workers` processes (default: all `problem.n`, which it must be) on the loopback interface alone, and is their server itself.
    Workers compute on one thread each; on one thread, replay computes the same bits. `cluster` injects worker times (and transfers, if it
    has a network): a worker sleeps until they have passed. A script whose problem is of a class of its own must call `serve` under
    `if __name__ == "__main__":`, because workers import it.

    Started by `torchrun` with n + 1 processes, on one machine or many, process 0 is the server and process w + 1 worker w, for which
    `serve` returns None. On many, sockets listen on the address that faces MASTER_ADDR. Nothing from the network is unpickled, but nothing
    is encrypted either: use a network that you trust. A worker whose seed, model size or `meta` is not the server's is refused.

    With a `folder` the run is durable: `journal` there is written event by event and can be read as a trace at any time
    (`Trace.load`), `checkpoint.pt` every `checkpoint_every` seconds, `trace.npz` at the end. A run whose server was killed goes on with
    `resume=True` and `arrivals` in total, and ends where an unbroken replay of its trace ends. `meta` is what else journal and trace shall
    say of the run, in words: which problem, which commit. A resumption must say the same.

    Raises TimeoutError, naming the workers that are waited for, where nothing has arrived for `timeout` seconds; RuntimeError where the
    gradient of a worker fails; ValueError where numbers make no sense or the folder belongs to another run.
    """
    n = problem.n if n_workers is None else count("n_workers", n_workers)
    if n != problem.n:
        raise ValueError(f"The problem is split over {problem.n} workers and n_workers is {n}; split the data over as many as there are.")
    run = Run(problem, method, arrivals, cluster, seed, folder, resume, checkpoint_every, timeout, meta)
    if cluster is not None and cluster.n != n:
        raise ValueError(f"The cluster has {cluster.n} workers and the problem {n}; they must agree.")
    for fault in faults:
        count("the worker of a fault", fault.worker, least=0, most=n - 1)
    here = place()
    if here is not None:
        if faults:
            raise ValueError("Faults are for processes that serve has started itself; under torchrun, send the signals to them.")
        return _serve_at(here, run, timeout)
    store, port = listen()
    children = Children(problem, LOOPBACK, port, run.seed)
    run.open()
    try:
        return run.serve(store, lambda: connect(LOOPBACK, port), LOOPBACK, children, sorted(faults, key=lambda fault: fault.after))
    finally:
        children.stop()


def _serve_at(here: Place, run: Run, timeout: float) -> Served | None:
    """Play the part of a process that torchrun has started."""
    if here.size != run.problem.n + 1:
        raise ValueError(f"{run.problem.n} workers and a server need {run.problem.n + 1} processes; torchrun started {here.size}.")
    same = {"coordinates": f"{run.problem.x0.numel()} of {run.problem.x0.dtype}", "seed": str(run.seed)} | run.told
    if here.rank:
        return work_at(run.problem, here, run.seed, timeout, same)
    store = here.store()  # first: a server that cannot listen leaves no run behind
    run.open()
    announce(store, same)
    return run.serve(store, here.line, here.host)


guard(__name__, costly=True)
