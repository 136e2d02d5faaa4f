"""The worker's side of a real run: receive a model, compute one gradient, send it, until told to stop."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import time

import torch
import torch.distributed as dist

from asgd_lib.distributed.link import WORKER, Gone, Link, connect, device, or_gone
from asgd_lib.distributed.machine import gradient
from asgd_lib.problems import Problem

COMPUTE, ABSENT, STOP = range(3)
"""From the server. COMPUTE: at this model, taking at least so many seconds; ABSENT: stay away for so many; STOP: the run is over."""
GRADIENT, NOTHING = range(2)
"""To the server. GRADIENT: here it is; NOTHING: back again without one."""
_PDEATHSIG = 1


def work(problem: Problem, worker: int, store: dist.Store, seed: int, host: str) -> bool:
    """Join the run as `worker` and serve it; True when the server said stop, False when it is gone.

    An error in the problem's gradient is left in the store, where the server finds it, and raised.
    """
    try:
        with or_gone():
            incarnation = store.add(f"incarnation/{worker}", 1)
        link = Link(store, f"link/{worker}/{incarnation}", WORKER, device(host), problem.x0)
        while (message := link.receive()).kind != STOP:
            began = time.monotonic()
            grad = None
            if message.kind == COMPUTE:
                grad = _gradient(problem, message.body.view(1, -1).clone().to(problem.x0), worker, message.job, seed, store)
            time.sleep(max(0.0, began + message.seconds - time.monotonic()))
            link.send(NOTHING if grad is None else GRADIENT, message.job, time.monotonic() - began, grad)
    except Gone:
        return False
    return True


def _gradient(problem: Problem, x: torch.Tensor, worker: int, job: int, seed: int, store: dist.Store) -> torch.Tensor:
    try:
        return gradient(problem, x, worker, job, seed).cpu()
    except Exception as error:
        store.set(f"error/{worker}", f"{type(error).__name__}: {error}")
        raise


def child(pickled: bytes, worker: int, host: str, port: int, seed: int) -> None:
    """Entry point of a process that `serve` has started; `pickled` came through a pipe from its parent, not over a network."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    if hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_PDEATHSIG, signal.SIGKILL)  # a frozen worker would outlive its server
    torch.set_num_threads(1)
    work(pickle.loads(pickled), worker, connect(host, port), seed, host)
    os._exit(0)  # gloo's threads need no ceremony
