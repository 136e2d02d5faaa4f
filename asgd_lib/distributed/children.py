"""Worker processes on this machine, started by the server, and what may happen to them."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from asgd_lib.checks import choice, count
from asgd_lib.distributed.processes import start
from asgd_lib.distributed.worker import child
from asgd_lib.problems import Problem

ACTIONS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "thaw": signal.SIGCONT}


@dataclass(frozen=True)
class Fault:
    """Once the server has processed `after` arrivals: "kill", "freeze" or "thaw" `worker`, or let it "join" (late, or again)."""

    after: int
    worker: int
    action: str

    def __post_init__(self):
        count("after", self.after, least=0)
        count("worker", self.worker, least=0)
        choice("action", self.action, (*ACTIONS, "join"))


class Children:
    """One process a worker, forked from a clean process that has torch loaded already."""

    def __init__(self, problem: Problem, host: str, port: int, seed: int):
        try:
            pickled = pickle.dumps(problem)
        except Exception as error:
            raise ValueError(f"The problem cannot be sent to worker processes ({error}); use functions and classes of a module.") from error
        self._arguments = pickled, host, port, seed
        self._needs_main = b"__main__" in pickled
        if self._needs_main and not hasattr(sys.modules["__main__"], "__file__"):
            raise ValueError("The problem uses a class or function of this session; move it to a module that workers can import.")
        self._processes: dict[int, BaseProcess] = {}

    def start(self, worker: int) -> None:
        """Start the process of `worker`, again where it had one."""
        self._end(worker)
        pickled, *where = self._arguments
        arguments = (pickled, worker, *where)
        self._processes[worker] = start(child, arguments, f"worker {worker}", needs_main=self._needs_main)

    def inflict(self, fault: Fault) -> None:
        """Do to a worker what `fault` says; nothing where it has no process."""
        if fault.action == "join":
            self.start(fault.worker)
        elif fault.worker in self._processes and self._processes[fault.worker].is_alive():
            os.kill(self._processes[fault.worker].pid, ACTIONS[fault.action])

    def ended(self) -> dict[int, int]:
        """Exit codes of the workers whose processes have ended, negative for signals."""
        return {w: p.exitcode for w, p in self._processes.items() if p.exitcode is not None}

    def stop(self) -> None:
        """End all of them, frozen ones too."""
        for worker in list(self._processes):
            self._end(worker)

    def _end(self, worker: int) -> None:
        process = self._processes.pop(worker, None)
        if process is not None:
            process.kill()
            process.join()


def first_starters(n: int, faults: Sequence[Fault]) -> list[int]:
    """The workers that are there from the beginning: all whose first fault is not to join."""
    first: dict[int, str] = {}
    for fault in sorted(faults, key=lambda f: f.after):
        first.setdefault(fault.worker, fault.action)
    return [worker for worker in range(n) if first.get(worker) != "join"]
