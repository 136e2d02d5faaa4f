"""Tuples with one entry a worker, which nobody writes into."""

from __future__ import annotations


def put(items: tuple, place: int, item: object) -> tuple:
    """`items` with `item` at `place`."""
    return items[:place] + (item,) + items[place + 1 :]
