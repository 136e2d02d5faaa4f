"""What the simulator asks of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from asgd_lib import rng
from asgd_lib.checks import positive

Clock = Callable[[int, int, float], tuple[float, bool]]
"""(worker, index, start) -> (seconds, delivered): the `index`-th job of that worker, begun at `start` seconds, ends `seconds` later,
with its gradient delivered or lost; `inf` means never. The same arguments always give the same answer."""

_BLOCK = 32  # draws of one key
_MOST = 8  # keys hashed at once


class Cluster(Protocol):
    """`n` workers and the times that their gradients take."""

    @property
    def n(self) -> int: ...

    def clock(self, seed: int) -> Clock: ...


def per_worker(name: str, value: Any, n: int | None = None) -> tuple[float, ...]:
    """`value` as a tuple of positive seconds, one a worker; a single number is repeated `n` times."""
    positive(name, value)
    if n is not None and not hasattr(value, "__len__"):
        return (float(value),) * n
    seconds = tuple(float(v) for v in value) if hasattr(value, "__len__") else (float(value),)
    if n is not None and len(seconds) != n:
        raise ValueError(f"{name} must be one number or one for each of the {n} workers; got {len(seconds)}.")
    return seconds


def uniforms(seed: int, stream: str, value: Callable[[int, float], float] | None = None) -> Callable[[int, int], float]:
    """A function (worker, index) -> uniform draw u in (0, 1), or `value(worker, u)`.

    Draws are hashed in blocks, of which a worker gets more at once the further it is; only the latest of each worker are kept.
    """
    kept: dict[int, tuple[int, list[float]]] = {}  # worker -> first index, values
    prefix, nothing = rng.key(seed, rng.stream(stream)), (0, [])

    def draw(worker: int, index: int) -> float:
        first, row = kept.get(worker, nothing)
        place = index - first
        if not 0 <= place < len(row):
            block, place = divmod(index, _BLOCK)
            blocks = torch.arange(block, block + min(block + 1, _MOST))
            row = rng.uniform(rng.key(worker, blocks, after=prefix), _BLOCK).flatten().tolist()
            if value is not None:
                row = [value(worker, u) for u in row]
            kept[worker] = block * _BLOCK, row
        return row[place]

    return draw
