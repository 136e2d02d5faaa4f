"""Argument checks whose failures are sentences: what was given, what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Any


def _values(value: Any) -> list[float]:
    """The numbers in a scalar, a sequence or a tensor; ValueError or TypeError where there are none."""
    if hasattr(value, "detach"):  # a tensor, known by its method: this module must load without torch
        return value.detach().double().flatten().tolist()
    if isinstance(value, (str, bytes, bool, set, frozenset, Mapping)) or value is None:
        raise TypeError(value)
    if isinstance(value, Iterable) and getattr(value, "shape", None) != ():  # an array of no dimension is a number, but says it iterates
        return [float(v) for v in value]
    return [float(value)]


def _demand(name: str, value: Any, allowed: str, good) -> None:
    try:
        numbers = _values(value)
        ok = bool(numbers) and all(good(v) for v in numbers)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        ok = False
    if not ok:
        raise ValueError(f"{name} must be {allowed}; got {shown(value)}.")


def shown(value: Any) -> str:
    """`value` as it stands in a sentence, cut to 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no integer of thousands of digits
        text = f"a very large {type(value).__name__}"
    return text if len(text) < 80 else text[:77] + "..."


def positive(name: str, value: Any) -> None:
    """Raise ValueError unless every number in `value` is finite and above zero."""
    _demand(name, value, "a finite number above 0", lambda v: math.isfinite(v) and v > 0)


def non_negative(name: str, value: Any) -> None:
    """Raise ValueError unless every number in `value` is finite and at least zero."""
    _demand(name, value, "a finite number of at least 0", lambda v: math.isfinite(v) and v >= 0)


def finite(name: str, value: Any) -> None:
    """Raise ValueError unless every number in `value` is finite."""
    _demand(name, value, "finite", math.isfinite)


def inside(name: str, value: Any, low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> None:
    """Raise ValueError unless every number lies in [low, high], without low with `open_low` and without high with `open_high`."""
    allowed = f"in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    _demand(name, value, allowed, lambda v: (low < v if open_low else low <= v) and (v < high if open_high else v <= high))


def count(name: str, value: Any, least: int = 1, most: int | None = None, remedy: str = "") -> int:
    """`value` as an int; ValueError unless it is a whole number in [least, most]."""
    try:
        whole = least - 1 if isinstance(value, bool) else index(value)
    except (TypeError, ValueError, RuntimeError):  # arrays and tensors of several numbers have an __index__ too
        whole = least - 1
    if whole < least or (most is not None and whole > most):
        top = "" if most is None else f" and at most {most}"
        raise ValueError(f"{name} must be a whole number of at least {least}{top}; got {shown(value)}.{' ' if remedy else ''}{remedy}")
    return whole


def columns(name: str, table: Any, *needed: str) -> None:
    """Raise ValueError unless the DataFrame `table` has all columns that are `needed`."""
    for column in needed:
        if column not in table:
            raise ValueError(f"The {name} has no column {column!r}; it has {', '.join(map(str, table.columns))}.")


def choice(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raise ValueError unless `value` is one of `allowed`."""
    try:
        known = value in allowed
    except (TypeError, ValueError, RuntimeError):  # arrays and tensors equal nothing as a whole
        known = False
    if not known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {shown(value)}.")
