"""What a check says that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgd_lib.methods import Method

Make = Callable[[float], Method]
"""A method for a step size: a row of the table, or a `functools.partial` of one with hyperparameters."""


class Nonconforming(AssertionError):
    """A sentence on what a method does wrong, and what to write instead."""


def demand(good: Any, says: str) -> None:
    """Raise Nonconforming with the sentence unless `good`."""
    if not good:
        raise Nonconforming(says)
