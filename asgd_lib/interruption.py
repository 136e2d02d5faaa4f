"""Ctrl-C while modules are imported: raised in there, it may come out as another error, or be swallowed by what was written in C."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def ends_at_once(says: str) -> Iterator[None]:
    """At Ctrl-C in the block, say so and end the process with status 130: for blocks that have nothing to lose but time.

    Where Ctrl-C is ignored already, or is somebody else's to handle, nothing changes.
    """
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if not ours:
        yield
        return

    def end(*_) -> None:
        with suppress(OSError):
            os.write(2, f"{says}\n".encode())
        os._exit(130)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
