"""Processes that stand still while somebody measures clocks."""

from __future__ import annotations

from contextlib import suppress

import psutil


class Standstill:
    """What has been stopped, to be let go on."""

    def __init__(self):
        self._stopped: list[psutil.Process] = []

    def begin(self, parents: list[int]) -> None:
        """Stop all descendants of these processes, but not themselves: each waits for its children, and ends them when it is to end."""
        for parent in parents:
            while new := [child for child in self._children(parent) if child not in self._stopped]:
                for child in new:  # until a look finds no other: who was not stopped yet may have started one
                    self._stopped.append(child)
                    with suppress(psutil.NoSuchProcess):
                        child.suspend()

    def end(self) -> None:
        """Let them go on."""
        while self._stopped:
            with suppress(psutil.NoSuchProcess):
                self._stopped.pop().resume()

    @staticmethod
    def _children(parent: int) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(parent).children(recursive=True)
        return []
