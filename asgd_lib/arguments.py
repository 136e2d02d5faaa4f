"""Arguments of public callables, held against their own annotations before anything is done with them.

`guard(__name__)` at the end of a module does this for its public functions and for the constructors of its classes. What is called once an
arrival (rules' `receive`, problems' `grad`, policies' `react`, all of `rng`) is left alone. A misfit is a ValueError, as in `checks`.

The annotations are read as the library means them, not as a type checker does: numbers of numpy and torch are numbers, an array is a
sequence, an object with the attributes of a protocol is one. Names that exist for type checkers alone are looked for in the value's bases.
"""

from __future__ import annotations

import builtins
import dis
import functools
import inspect
import math
import os
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from types import FunctionType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from asgd_lib.checks import shown

_MOST, _MOST_FLOAT = 2**63, 2**1023  # beyond it no array, tensor or float takes a whole number


class Numbers:
    """What stands for `ArrayLike`: a number, or an array or (nested) list of numbers."""


_WORDS = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("one of False, True", "flags"),
    str: ("text", "texts"),
    os.PathLike: ("a path", "paths"),
    NoneType: ("None", "None"),
    Numbers: ("a number or a list of numbers, at least one", "numbers or lists of numbers"),
    Callable: ("a function", "functions"),
}


class _Elsewhere(dict):
    """Names that a module shows to type checkers alone: what a loaded module of the library calls so, else any class of that name."""

    def __missing__(self, name: str) -> Any:
        ours = (vars(module) for key, module in list(sys.modules.items()) if key.startswith("asgd_lib."))
        return next((names[name] for names in ours if name in names), None) or type(name, (), {"_only_named": True})


def guard(module: str, *, costly: bool = False) -> None:
    """Hold every public callable of `module` to its annotations: those in `__all__`, or else those that the module defines itself.

    A call that does not fit is tried all the same, because the callable's own checks know more of what is allowed, unless it is `costly`:
    long, or with effects outside its result.
    """
    names = vars(sys.modules[module])
    for name in names.get("__all__") or [name for name in names if not name.startswith("_")]:
        thing = names[name]
        if not isinstance(thing, (type, FunctionType)) or not thing.__module__.startswith(module):
            continue
        if isinstance(thing, FunctionType):
            names[name] = checked = _checked(thing, thing.__name__, costly)
            setattr(sys.modules[thing.__module__], thing.__name__, checked)  # where pickle looks for it
        elif not (getattr(thing, "_is_protocol", False) or issubclass(thing, (tuple, dict, BaseException))):
            thing.__init__ = _checked(thing.__init__, thing.__name__, False)


def held(function: Callable, name: str, args: tuple, kwargs: dict[str, Any], costly: bool = False) -> Any:
    """What `function` returns, or ValueError where an argument does not fit its annotation; `name` is the function's for the caller."""
    misfit = _misfit(function, name, args, kwargs)
    if misfit is None:
        return function(*args, **kwargs)
    vast = any(isinstance(value, int) and abs(value) > _MOST for value in (*args, *kwargs.values()))
    if not costly and not vast:
        try:
            function(*args, **kwargs)
        except Exception as error:
            if _was_raised(error):
                raise
    raise ValueError(misfit)


def _checked(function: Callable, name: str, costly: bool) -> Callable:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return held(function, name, args, kwargs, costly)

    return call


def _was_raised(error: Exception) -> bool:
    """Whether a `raise` of the library made this error, and not an operation that failed."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    ours = last.tb_frame.f_globals.get("__name__", "").startswith("asgd_lib.")
    return ours and dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == "RAISE_VARARGS"


def _misfit(function: Callable, name: str, args: tuple, kwargs: dict[str, Any]) -> str | None:
    """The sentence about the first argument that does not fit; None where all do, and for functions that are not the library's."""
    if not function.__module__.startswith("asgd_lib."):
        return None
    try:
        given = _signature(function).bind(*args, **kwargs).arguments
    except TypeError:  # a name or a number of arguments that the call itself will complain of
        return None
    for parameter, value in given.items():
        hint, stars = _hints(function).get(parameter, (Any, ""))
        several = {"*": enumerate, "**": dict.items}.get(stars, lambda value: ((None, value),))
        for key, one in several(value):
            if not _fits(hint, one):
                which = {"*": f"{parameter}[{key}]", "**": str(key)}.get(stars, parameter)
                return f"{name}: {which} must be {_allowed(hint)}; got {shown(one)}."
    return None


@functools.cache
def _signature(function: Callable) -> inspect.Signature:
    return inspect.signature(function)


@functools.cache
def _hints(function: Callable) -> dict[str, tuple[Any, str]]:
    """Parameter -> its annotation and "*" or "**" where it gathers several; nothing for what says nothing."""
    own = inspect.unwrap(function)
    scope = ChainMap({"ArrayLike": Numbers}, vars(sys.modules[own.__module__]), vars(builtins), _Elsewhere())
    hints = {}
    for parameter in _signature(function).parameters.values():
        hint = parameter.annotation
        if isinstance(hint, str):
            hint = eval(hint, {}, scope)
        if hint not in (Any, inspect.Parameter.empty):
            stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
            hints[parameter.name] = (NoneType if hint is None else hint, stars)
    return hints


def _fits(hint: Any, value: Any) -> bool:
    """Whether `value` is what `hint` asks for."""
    if hint is type(value) and hint is not int:  # of whole numbers not even every int is one
        return True
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(one, value) for one in inner)
    if kind is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if kind is Callable:
        return callable(value)
    if kind in (int, float, bool):
        return _is_number(kind, value)
    if kind is Numbers:
        return _are_numbers(value)
    if kind is Any or not isinstance(kind, type) or kind.__name__ == "ndarray":
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (not inner or all(_fits(inner[0], k) and _fits(inner[1], v) for k, v in value.items()))
    if kind is not str and issubclass(kind, Iterable) and (inner or kind in (Sequence, Iterable, list, tuple)):
        return _is_row(kind, inner, value)
    if getattr(kind, "_is_protocol", False):
        return not isinstance(value, type) and all(hasattr(value, name) for name in _asked(kind))
    if "_only_named" in vars(kind):
        return kind.__name__ in {base.__name__ for base in type(value).__mro__}
    return isinstance(value, (tuple, list) if issubclass(kind, tuple) else kind)  # a named tuple may be spelt as a plain one


def _is_number(kind: type, value: Any) -> bool:
    """Whether `value` is one number, whosoever's: of Python, of numpy or of torch."""
    if hasattr(value, "item") and math.prod(getattr(value, "shape", (0,))) == 1:
        value = value.item()
    if not isinstance(value, Real):
        return False
    if kind is float:
        return not isinstance(value, int) or abs(value) < _MOST_FLOAT
    if kind is bool:
        return value in (0, 1)
    return isinstance(value, Integral) and abs(value) <= _MOST


def _are_numbers(value: Any) -> bool:
    """Whether `value` is a number, an array or a (nested) list of numbers, and not empty."""
    if hasattr(value, "dtype"):
        kind = getattr(value.dtype, "kind", "f")  # torch has numbers alone
        return bool(math.prod(value.shape)) and (kind in "biuf" or (kind == "O" and all(map(_are_numbers, value.tolist()))))
    if isinstance(value, (list, tuple, range)):
        return len(value) > 0 and all(map(_are_numbers, value))
    return _is_number(float, value)


def _is_row(kind: type, inner: tuple, value: Any) -> bool:
    """Whether `value` is an iterable, or a sequence, of what `inner` asks for; what can be read only once is believed."""
    no_row = (str, bytes) if kind is Iterable else (str, bytes, Mapping)
    if (
        isinstance(value, no_row)
        or type(value).__name__ == "DataFrame"
        or not hasattr(value, "__iter__")
        or getattr(value, "shape", None) == ()
    ):
        return False
    if not hasattr(value, "__len__"):
        return kind is Iterable
    if kind is tuple and inner[1:] != (...,) and inner:
        return len(value) == len(inner) and all(map(_fits, inner, value))
    if not inner or inner[0] is Any:
        return True
    if hasattr(value, "dtype") and inner[0] in (int, float):
        return len(value) == 0 or _are_numbers(value)
    kind = float if inner[0] is int else inner[0]  # the callable says itself, with what is allowed, that each has to be whole
    return all(_fits(kind, one) for one in value)


@functools.cache
def _asked(protocol: type) -> list[str]:
    """The attributes that a protocol asks for."""
    return sorted({name for name in (*vars(protocol), *vars(protocol).get("__annotations__", ())) if not name.startswith("_")})


def _allowed(hint: Any, many: bool = False) -> str:
    """What fits `hint`, in words; with `many`, in the plural."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(dict.fromkeys(_allowed(one, many) for one in inner))
    if kind is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if kind in _WORDS:
        return _WORDS[kind][many]
    if kind is tuple and inner and inner[1:] != (...,):
        return f"{'tuples' if many else 'a tuple'} of {len(inner)} ({', '.join(map(_allowed, inner))})"
    if isinstance(kind, type) and issubclass(kind, Mapping):
        of = f" from {_allowed(inner[0], True)} to {_allowed(inner[1], True)}" if inner else ""
        return f"{'dicts' if many else 'a dict'}{of}"
    if kind in (Sequence, Iterable, list, tuple):
        return f"{'lists' if many else 'a list'}{f' of {_allowed(inner[0], True)}' if inner else ''}"
    name = getattr(kind, "__name__", str(kind))
    shown = f"{name} objects" if many else f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
    return f"{shown} (with {', '.join(_asked(kind))})" if getattr(kind, "_is_protocol", False) else shown
