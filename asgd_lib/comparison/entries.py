"""Who takes part: a name, and a function of the step size that makes the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asgd_lib.methods import METHODS, Method


@dataclass(frozen=True)
class Entry:
    """A contestant: `make(lr)` gives its method. Whoever writes a method of his own adds one entry, and takes part in everything."""

    name: str
    make: Callable[[float], Method]

    def __post_init__(self):
        if not self.name or not callable(self.make):
            raise ValueError(f"An entry needs a name and a function of the step size; got {self.name!r} and {self.make!r}.")

    def at(self, lr: float) -> Method:
        """The method at this step size, under the entry's name; TypeError where `make` returns anything else."""
        method = self.make(float(lr))
        if not isinstance(method, Method):
            raise TypeError(f"Entry {self.name!r} must make a Method, as METHODS['asgd'](lr=lr) does; it made {type(method).__name__}.")
        return replace(method, name=self.name, hyperparameters={})


SETTINGS: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "naive_optimal": lambda n: {"workers": tuple(range((n + 1) // 2))},
    "mindflayer": lambda n: {"limit": 3.0},
    "aced": lambda n: {"oldest": 2 * n},
}
"""Hyperparameters besides the step size, as functions of n, where the table's default would make a method another one's twin."""

LEFT_OUT: Mapping[str, str] = {
    "vecna": "it needs to know how likely each worker is to answer in time, and without a limit it is minibatch SGD, bit by bit",
}
"""Rows of the table of methods that `entries` leaves out, and why."""


@dataclass(frozen=True)
class _FromTable:
    name: str
    settings: tuple[tuple[str, Any], ...]

    def __call__(self, lr: float) -> Method:
        return METHODS[self.name](lr=lr, **dict(self.settings))


def entries(n: int, names: Sequence[str] | None = None) -> list[Entry]:
    """One entry for each row of the table of methods (or of `names`) on `n` workers, without those of LEFT_OUT.

    All hyperparameters but the step size are the table's defaults or, for three methods, SETTINGS. Raises KeyError for a name that the
    table has not got.
    """
    chosen = [name for name in METHODS if name not in LEFT_OUT] if names is None else list(names)
    made = []
    for name in chosen:
        _ = METHODS[name]
        made.append(Entry(name, _FromTable(name, tuple(SETTINGS.get(name, lambda n: {})(n).items()))))
    return made
