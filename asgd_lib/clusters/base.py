"""What the simulator asks of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from asgd_lib import rng
from asgd_lib.checks import positive

Clock = Callable[[int, int, float], tuple[float, bool]]
"""(worker, index, start) -> (seconds, delivered): the `index`-th job of that worker, begun at `start` seconds, ends `seconds` later,
with its gradient delivered or lost; `inf` means never. The same arguments always give the same answer."""

_BLOCK = 32


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


def uniforms(seed: int, stream: str) -> Callable[[int, int], float]:
    """A function (worker, index) -> uniform draw in (0, 1), hashed in blocks for speed."""
    blocks: dict[tuple[int, int], list[float]] = {}
    number = rng.stream(stream)

    def draw(worker: int, index: int) -> float:
        block, place = divmod(index, _BLOCK)
        row = blocks.get((worker, block))
        if row is None:
            blocks.pop((worker, block - 2), None)
            row = blocks[worker, block] = rng.uniform(rng.key(seed, number, worker, block), _BLOCK).tolist()
        return row[place]

    return draw
