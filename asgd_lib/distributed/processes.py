"""Processes forked from a clean one that has torch loaded, without running the caller's script a second time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from types import ModuleType

PRELOAD = ["asgd_lib.distributed.worker", "asgd_lib.distributed.hierarchy", "torch._dynamo"]
"""Imported once; the last is what DistributedDataParallel imports, for seconds, when first used."""


def start(target: Callable, arguments: tuple, name: str, *, needs_main: bool = False) -> BaseProcess:
    """A started process that runs `target(*arguments)`, which must be importable, and ends with its parent.

    multiprocessing runs the caller's script again in every child, which forces scripts to guard what they do by
    `if __name__ == "__main__":`. Where no argument comes from that script (`needs_main`) there is no need to.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=target, args=arguments, daemon=True, name=name)
    if needs_main:
        process.start()
    else:
        with _nameless_main():
            process.start()
    return process


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Hide the running script from multiprocessing, which looks for it in `sys.modules`."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
