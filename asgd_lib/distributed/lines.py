"""The server's ends of the links: one thread a worker, and a doorman for those who join."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from asgd_lib.distributed.link import SERVER, Gone, Link
from asgd_lib.distributed.worker import STOP

JOINED, ANSWER, GONE = range(3)
"""What lines tell the server. JOINED: the worker is there; ANSWER: it has answered; GONE: it is not there any more."""
_KNOCK = 0.02  # s between looks at the door


class Line(threading.Thread):
    """Hands one incarnation of a worker its jobs, one at a time, and puts (what, line, message) on `events`."""

    def __init__(self, worker: int, incarnation: int, connect: Callable, gloo_device: Any, like: Tensor, events: queue.SimpleQueue):
        super().__init__(daemon=True, name=f"line to worker {worker}")
        self.worker, self._incarnation, self._events = worker, incarnation, events
        self._connect, self._device, self._like = connect, gloo_device, like
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()

    def give(self, kind: int, job: int = -1, seconds: float = 0.0, body: Tensor | None = None) -> None:
        """Have a message sent and, unless it is STOP, its answer received."""
        self._tasks.put((kind, job, seconds, body, time.monotonic()))

    def run(self) -> None:
        try:
            # A store of its own: a thread that waits on a shared one would hold up all others.
            link = Link(self._connect(), f"link/{self.worker}/{self._incarnation}", SERVER, self._device, self._like)
            self._events.put((JOINED, self, None))
            while True:
                kind, job, seconds, body, given = self._tasks.get()
                while not self._tasks.empty():  # only the newest counts: the others were cancelled while their worker was busy
                    kind, job, seconds, body, given = self._tasks.get()
                link.send(kind, job, max(0.0, seconds - (time.monotonic() - given)), body)
                if kind == STOP:
                    return
                self._events.put((ANSWER, self, link.receive()))
        except Gone:
            self._events.put((GONE, self, None))


class Doorman(threading.Thread):
    """Opens a line for every worker that joins, for the first time or again."""

    def __init__(self, n: int, store: Any, open_line: Callable[[int, int], None]):
        super().__init__(daemon=True, name="doorman")
        self._n, self._store, self._open_line = n, store, open_line
        self._closed = threading.Event()

    def run(self) -> None:
        known = [0] * self._n
        while not self._closed.wait(_KNOCK):
            for worker in range(self._n):
                incarnation = self._store.add(f"incarnation/{worker}", 0)
                if incarnation > known[worker]:
                    known[worker] = incarnation
                    self._open_line(worker, incarnation)

    def close(self) -> None:
        self._closed.set()
        self.join()
