"""What the simulator asks of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from asgd_lib import rng
from asgd_lib.checks import positive

Clock = Callable[[int, int, float], tuple[float, bool]]  # what Cluster.clock returns

_BLOCK = 32  # draws of one key
_MOST = 8  # keys of a worker hashed at once
_NEIGHBOURS = 128  # workers whose keys are hashed together: a small hash is nearly all overhead


class Cluster(Protocol):
    """`n` workers and the times that their gradients take."""

    @property
    def n(self) -> int:
        """Workers."""

    def clock(self, seed: int) -> Clock:
        """A function (worker, index, start) -> (seconds, delivered) of the jobs of one run; the same arguments always give the same answer.

        The `index`-th job of `worker`, begun at `start` seconds, ends `seconds` later, with its gradient delivered or lost; `inf` means
        never.
        """


def without_network(base: Cluster) -> None:
    """Raise ValueError where `base` has a network: only that of the outermost cluster is ever asked how long a message takes."""
    if hasattr(base, "transfer"):
        raise ValueError(f"base must have no network of its own, which would be left out: put the network around it all; got {base!r}.")


def per_worker(name: str, value: Any, n: int | None = None) -> tuple[float, ...]:
    """`value` as a tuple of positive seconds, one a worker; a single number is repeated `n` times."""
    positive(name, value)
    if n is not None and not getattr(value, "ndim", hasattr(value, "__len__")):
        return (float(value),) * n
    seconds = tuple(float(v) for v in value) if getattr(value, "ndim", hasattr(value, "__len__")) else (float(value),)
    if n is not None and len(seconds) != n:
        raise ValueError(f"{name} must be one number or one for each of the {n} workers; got {len(seconds)}.")
    return seconds


def uniforms(seed: int, stream: str, value: Callable[[int, float], Any] | None = None, n: int = 0) -> Callable[..., Any]:
    """A function (worker, index, ...) -> uniform draw u in (0, 1), or `value(worker, u)`; further arguments do not matter.

    Draws are hashed in blocks, the first ones of `n` workers together and later ones with those of neighbours who are as far; a worker gets
    more blocks at once the further it is, and only its latest and its next ones are kept.
    """
    kept: dict[int, tuple[int, list]] = {}  # worker -> first index, values
    ahead: dict[int, tuple[int, NDArray]] = {}  # worker -> block, the draws from there on
    prefix, nothing = rng.key(seed, rng.stream(stream)), (0, [])

    def keep(worker: int, first: int, row: list[float]) -> list:
        kept[worker] = first, row if value is None else [value(worker, u) for u in row]
        return kept[worker][1]

    def end(worker: int) -> int:
        first, row = kept.get(worker, nothing)
        return first + len(row)

    def hashed(worker: int, block: int) -> list[float]:
        if ahead.get(worker, (None,))[0] != block:
            low = worker - worker % _NEIGHBOURS
            peers = [w for w in range(low, low + _NEIGHBOURS) if w == worker or end(w) == block * _BLOCK]
            blocks = torch.arange(block, block + min(block + 1, _MOST))
            draws = rng.uniform(rng.key(torch.tensor(peers)[:, None], blocks, after=prefix), _BLOCK).flatten(1)
            ahead.update(zip(peers, zip(repeat(block), draws.numpy()), strict=True))
        return ahead.pop(worker)[1].tolist()

    def draw(worker: int, index: int, *_: float) -> Any:
        first, row = kept.get(worker, nothing)
        place = index - first
        if not 0 <= place < len(row):
            block, place = divmod(index, _BLOCK)
            if not kept and worker < n:
                for w, draws in enumerate(rng.uniform(rng.key(torch.arange(n), 0, after=prefix), _BLOCK).tolist()):
                    keep(w, 0, draws)
                return draw(worker, index)
            row = keep(worker, block * _BLOCK, hashed(worker, block))
        return row[place]

    return draw
