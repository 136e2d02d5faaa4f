"""One real run, seen from its server: who joins, what arrives, and when it is over."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from asgd_lib import journal
from asgd_lib.atomic import writes
from asgd_lib.checks import count, positive
from asgd_lib.clusters import Cluster
from asgd_lib.distributed.children import Children, Fault, first_starters
from asgd_lib.distributed.lines import ANSWER, GONE, JOINED, Doorman, Line
from asgd_lib.distributed.link import device
from asgd_lib.distributed.server import Server
from asgd_lib.distributed.worker import GRADIENT, STOP
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.trace import Trace

_LAST_SEED = 2**63 - 1
_TICK = 0.1  # s between looks at the clock while nothing happens
_FAREWELL = 5.0  # s in which workers of other machines should take leave


@dataclass(frozen=True)
class Served:
    """What is left of a real run: `replay(trace, method, problem, seeds=[seed], jobs_per_call=1)` gives `x` again."""

    trace: Trace
    x: Tensor  # (d,) the server's last model
    used: int  # arrivals that changed the state
    seconds: float  # s of wall time, from the first job to the last arrival, without the time before a resumption
    busy: float  # s of them that the server worked: policy, rule, journal

    def __repr__(self) -> str:
        return f"Served({len(self.trace):,} arrivals, {self.used:,} used, n = {self.trace.n}, d = {len(self.x):,}, {self.seconds:.3g} s)"


class Run:
    """One real run, from its first worker to its last arrival."""

    def __init__(
        self, problem: Problem, method: Method, arrivals: int, cluster: Cluster | None, seed: int,
        folder: str | os.PathLike | None, resume: bool, checkpoint_every: float, timeout: float,
        meta: Mapping[str, str] | None = None,
    ):  # fmt: skip
        self.problem, self.method, self.cluster = problem, method, cluster
        self.arrivals, self.seed = count("arrivals", arrivals), count("seed", seed, least=0, most=_LAST_SEED)
        positive("timeout", timeout)
        positive("checkpoint_every", checkpoint_every)
        self._timeout, self._checkpoint_every = timeout, checkpoint_every
        self.folder = None if folder is None else Path(folder)
        self.meta = {"source": "recorded", "cluster": repr(cluster), "policy": repr(method.policy), "method": method.label}
        self.meta |= {"lr": repr(float(method.lr)), "seed": str(seed)}
        for name in meta or {}:
            if name in (*self.meta, "n", "start", "crc32"):
                raise ValueError(f"meta cannot have {name!r}, which the run records itself; choose another name.")
        self.told = dict(meta or {})
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._resume, self._busy = resume, 0.0
        self._whole = True  # no event is half applied
        if resume and folder is None:
            raise ValueError("resume=True needs the folder of the run that is to go on: folder=...")

    def open(self) -> None:
        """Make the server, at its beginning or where its journal ends."""
        if self.folder is None:
            self.meta |= self.told
            self.server = Server(self.problem, self.method, self.seed, self.cluster)
            return
        path, past = self.folder / "journal", []
        if path.exists() and path.stat().st_size:
            past, old = list(journal.events(path)), journal.header(path)
            if past and not self._resume:
                say = "go on with resume=True (--resume in a shell), or choose another folder."
                raise ValueError(f"{self.folder} holds a run already; {say}")
            self.told = {name: text for name, text in self.told.items() if name in old}  # older journals say less
        self.meta |= self.told
        with writes(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        numbers = {"n": self.problem.n, "start": _fingerprint(self.problem.x0)}
        self.server = Server(self.problem, self.method, self.seed, self.cluster, journal.Journal(path, self.meta | numbers))
        try:
            self.server.relive(past, self.folder / "checkpoint.pt")
        except BaseException:
            self.server.close()
            raise

    def serve(
        self, store: dist.Store, line: Callable[[], dist.Store], host: str, children: Children | None = None, faults: Sequence[Fault] = ()
    ) -> Served:
        """Serve those who join at `store` until all arrivals are there; `line` gives a further connection to it."""
        server, faults, gloo = self.server, list(faults), device(host)

        def open_line(worker: int, incarnation: int) -> None:
            Line(worker, incarnation, line, gloo, self.problem.x0, self._events).start()

        doorman = Doorman(server.n, store, open_line)
        doorman.start()
        try:
            expected = range(server.n) if children is None else first_starters(server.n, faults)
            for worker in expected if children is not None else ():
                children.start(worker)
            self._gather(expected, children)
            began, first = time.monotonic(), server.now
            self._zero = began - first
            with self._applied():
                if server.created:
                    for worker in list(server.lines):
                        server.back_now(worker)
                else:
                    server.start_all()
            self._loop(store, children, faults)
            seconds = time.monotonic() - began
        except BaseException:
            doorman.close()
            with suppress(OSError):  # what stopped the run is to be told, and not that nothing more fits on the disk
                self._finish(children)
            raise
        doorman.close()
        trace = self._finish(children)
        return Served(trace, server.machine.state.x[0], server.machine.used, seconds, self._busy)

    def _gather(self, expected: Sequence[int], children: Children | None) -> None:
        """Wait for the first workers."""
        deadline = time.monotonic() + self._timeout
        while missing := sorted(set(expected) - set(self.server.lines)):
            try:
                what, line, _ = self._events.get(timeout=_TICK)
                if what == JOINED:
                    self.server.lines[line.worker] = line
            except queue.Empty:
                ended = children.ended() if children is not None else {}
                if ended:
                    worker, code = next(iter(ended.items()))
                    raise RuntimeError(
                        f"Worker {worker} ended with code {code} before the run began; what it said is above. "
                        "In a script, serve(...) must stand under `if __name__ == '__main__':`."
                    ) from None
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Workers {missing} did not join within {self._timeout:g} s.") from None

    def _loop(self, store: dist.Store, children: Children | None, faults: list[Fault]) -> None:
        server = self.server
        quiet_since = saved = time.monotonic()
        while server.arrivals < self.arrivals:
            while faults and faults[0].after <= server.arrivals:
                children.inflict(faults.pop(0))
            with self._applied():
                wait = server.expire(time.monotonic() - self._zero)
            try:
                what, line, message = self._events.get(timeout=min(_TICK, wait))
            except queue.Empty:
                what = None
            woke = time.monotonic()
            if what == ANSWER and message.kind == GRADIENT:
                quiet_since = woke
            elif woke - quiet_since > self._timeout and self._events.empty():  # answers without a gradient are no arrivals
                raise TimeoutError(f"Nothing has arrived for {self._timeout:g} s. {self._who()}")
            if what is None:
                continue
            server.now = max(server.now, woke - self._zero)
            with self._applied():
                self._handle(what, line, message, store)
            if self.folder is not None and woke - saved > self._checkpoint_every:
                server.checkpoint(self.folder / "checkpoint.pt")
                saved = time.monotonic()
            self._busy += time.monotonic() - woke

    @contextmanager
    def _applied(self) -> Iterator[None]:
        """Remember where the block is left by an error: Ctrl-C, say, after an event was written down and before it was applied."""
        self._whole = False
        yield
        self._whole = True

    def _handle(self, what: int, line: Line, message: Any, store: dist.Store) -> None:
        server, worker = self.server, line.worker
        present = server.lines.get(worker) is line
        if what == JOINED:
            server.lines[worker] = line
            server.back_now(worker)
        elif what == GONE and present:
            del server.lines[worker]
            if store.check([f"error/{worker}"]):
                raise RuntimeError(f"The gradient of worker {worker} failed. {store.get(f'error/{worker}').decode()}")
            if server.current(worker) is not None:
                server.lost_now(worker)
        elif what == ANSWER and present and message.job == server.current(worker):  # else to a job that was lost meanwhile
            if message.kind == GRADIENT:
                server.arrived_now(server.current(worker), message.body.view(1, -1).to(self.problem.x0))
            else:
                server.back_now(worker)

    def _who(self) -> str:
        """A sentence on who has not answered."""
        server, now = self.server, time.monotonic() - self._zero
        away = [f"worker {w} is gone" for w in range(server.n) if w not in server.lines]
        busy = [
            f"worker {w} has had its job for {now - server.start[server.current(w)]:.1f} s"
            for w in server.lines
            if server.current(w) is not None
        ]
        return f"{self.method.label} waits: {', '.join([*away, *busy])}. Start it again, or allow a longer timeout."

    def _finish(self, children: Children | None) -> Trace | None:
        """Send everybody home, and put the trace away; None where there is none to trust."""
        while not self._events.empty():
            what, line, _ = self._events.get()
            if what == JOINED:  # too late to be given a job
                self.server.lines[line.worker] = line
        for line in self.server.lines.values():
            line.give(STOP)
        if children is None:
            deadline = time.monotonic() + _FAREWELL
            for line in self.server.lines.values():
                line.join(max(0.0, deadline - time.monotonic()))
        try:
            if self._whole:
                trace = self.server.trace(self.meta)
                if self.folder is not None:
                    self.server.checkpoint(self.folder / "checkpoint.pt")
            elif self.folder is not None:  # the journal alone can be believed: a checkpoint would lose the gradient that was half applied
                trace = Trace.load(self.folder / "journal")
            else:
                return None
            if self.folder is not None:
                trace.save(self.folder / "trace.npz")
            return trace
        finally:
            self.server.close()


def _fingerprint(x0: Tensor) -> str:
    """Tells starts of different problems apart, in a journal's header."""
    return f"{tuple(x0.shape)} {x0.dtype} {float(x0.double().sum()):.12g} {float(x0.double().abs().sum()):.12g}"
