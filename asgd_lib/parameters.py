"""A notebook's parameters, checked before anything heavy is imported: a bad run stops within the first second."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from asgd_lib import checks
from asgd_lib.arguments import guard

_LITERALS = (bool, int, float, str, list, tuple, dict, set, type(None))
_NOT_OURS = {"In", "Out", "PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"}
_PASSED = "_parameters_passed"


class ParameterError(ValueError):
    """A notebook parameter that is missing, unknown or outside what is allowed."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the sentence, without the way through this library."""
        return [f"{type(self).__name__}: {self}"]


class Kind(Protocol):
    """What a parameter may be."""

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError, with a sentence, unless `value` is allowed."""


def _one_number(name: str, value: Any, allowed: str) -> None:
    if not isinstance(value, (int, float)):  # lists, which the checks below take element by element
        raise ValueError(f"{name} must be {allowed}; got {value!r}.")


@dataclass(frozen=True)
class Count:
    """A whole number in [least, most]; `most=None`: no upper end. `why`: a sentence to follow a refusal, where the ends need a reason."""

    least: int = 1
    most: int | None = None
    why: str = ""

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless `value` is such a number."""
        checks.count(name, value, self.least, self.most, self.why)


@dataclass(frozen=True)
class Positive:
    """A finite number above 0 and at most `most`; a whole number will do."""

    most: float | None = None

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless `value` is such a number."""
        top = "" if self.most is None else f" and at most {self.most:g}"
        _one_number(name, value, f"a finite number above 0{top}")
        checks.positive(name, value)
        if self.most is not None and value > self.most:
            raise ValueError(f"{name} must be a finite number above 0{top}; got {value!r}.")


@dataclass(frozen=True)
class Inside:
    """A number in [low, high]; a whole number will do."""

    low: float
    high: float

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless `value` is such a number."""
        _one_number(name, value, f"a number in [{self.low:g}, {self.high:g}]")
        checks.inside(name, value, self.low, self.high)


@dataclass(frozen=True)
class NonNegative:
    """A finite number of at least 0; a whole number will do."""

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless `value` is such a number."""
        _one_number(name, value, "a finite number of at least 0")
        checks.non_negative(name, value)


@dataclass(frozen=True, init=False)
class Choice:
    """One of a few values: `Choice("digits", "fashion_mnist")`."""

    allowed: tuple[Any, ...]

    def __init__(self, *allowed: Any):
        object.__setattr__(self, "allowed", allowed)

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless `value` is one of them."""
        checks.choice(name, value, self.allowed)


@dataclass(frozen=True)
class Flag:
    """True or False; 1 and 0 will not do."""

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless `value` is a bool."""
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False; got {value!r}.")


@dataclass(frozen=True)
class ListOf:
    """A list of at least `least` and at most `most` values of one kind, no two of them equal unless `distinct=False`.

    Equal seeds are one sample counted twice: they make every interval too narrow.
    """

    of: Kind
    least: int = 1
    most: int | None = None
    distinct: bool = True

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless `value` is such a list; the sentence names the element at fault."""
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{name} must be a list, such as [1, 2]; got {value!r}.")
        if len(value) < self.least or (self.most is not None and len(value) > self.most):
            top = "" if self.most is None else f" and at most {self.most}"
            raise ValueError(f"{name} must have at least {self.least}{top} elements; got {len(value)}: {value!r}.")
        for index, element in enumerate(value):
            self.of.check(f"{name}[{index}]", element)
            if self.distinct and element in value[:index]:
                raise ValueError(f"{name} must not repeat a value; got {element!r} twice in {value!r}.")


def check_parameters(namespace: MutableMapping[str, Any], /, **kinds: Kind) -> dict[str, Any]:
    """The declared parameters and their values; ParameterError, one sentence, for the first that is not as declared.

    Call it as the first statement after the parameters cell, with `globals()`. Any other literal in the namespace is
    taken for a misspelt parameter (papermill injects a name that nobody reads, and the run would use the default).
    Unless OMP_NUM_THREADS is set already, it becomes 1, which is what the committed numbers were computed with.
    Once a namespace has passed, later calls look at the declared names only: then it holds the notebook's own results.
    """
    if not namespace.get(_PASSED, False):
        for name in namespace:
            if name not in kinds and _looks_like_a_parameter(name, namespace[name]):
                raise ParameterError(_unknown(name, sorted(kinds)))
    for name, kind in kinds.items():
        if name not in namespace:
            raise ParameterError(f"Parameter {name!r} is missing: run the parameters cell first.")
        try:
            kind.check(name, namespace[name])
        except ValueError as error:
            raise ParameterError(f"{error}{_hint(namespace[name])}") from None
    namespace[_PASSED] = True
    # Read when torch is imported: threads of small operations that wait for each other on a busy machine cost minutes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return {name: namespace[name] for name in kinds}


def _looks_like_a_parameter(name: str, value: Any) -> bool:
    return not name.startswith("_") and name not in _NOT_OURS and isinstance(value, _LITERALS)


def _unknown(name: str, known: list[str]) -> str:
    from asgd_lib.spelling import meant  # only now: it reads YAML, and most notebooks have no misspelt parameter

    guess = meant(name, known, "; {}") or "."
    return f"Unknown parameter {name!r}{guess} Known: {', '.join(known)}. Correct the name and restart the kernel."


def _hint(value: Any) -> str:
    """Why a value given on papermill's command line or in a YAML file may have come as a string."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_hint, value)), "")
    if not isinstance(value, str):
        return ""
    if value.lower() in {"true", "false"}:
        return " It came as a string: with papermill -p write True or False."
    if value[:1] in ("[", "("):
        return " It came as a string: papermill takes lists by -y 'name: [1, 2]' or from a file by -f."
    try:
        float(value)
    except ValueError:
        return ""
    return " It came as a string: YAML takes 1.0e-3 for a number, but 1e-3 and '1' for text."


guard(__name__)
