"""How command lines spell a call: `KIND:PIECE,...[,KEYWORD=VALUE,...]`, read after the signature of what is called."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import takewhile
from typing import Any

import yaml

_MUST = inspect.Parameter.empty
_ELSEWHERE = ("n", "y", "parts", "batch", "test")  # arguments that come from other options, or with the data


def form(kind: str, make: Callable) -> str:
    """`LogNormal:MEDIAN[,sigma=1.0]`: the first argument, keywords that must follow, and in brackets those that may, with defaults."""
    first, keywords = _arguments(make)
    must = "".join(f",{name}={name.upper()}" for name, default in keywords.items() if default is _MUST)
    may = ",".join(f"{name}={default}" for name, default in keywords.items() if default is not _MUST)
    return f"{kind}:{first.upper()}{must}{f'[,{may}]' if may else ''}"


def parsed(text: str, make: Callable) -> tuple[list[str], dict[str, Any]]:
    """The pieces of `text` between its kind and its keywords, and the keywords, for `make`; ValueError where those do not fit."""
    kind, _, rest = text.partition(":")
    pieces, keywords = rest.split(",") if rest else [], _arguments(make)[1]
    plain = list(takewhile(lambda piece: "=" not in piece, pieces))
    given = {}
    for piece in pieces[len(plain) :]:
        key, equals, spelt = piece.partition("=")
        if not equals or key not in keywords:
            wrong = f"has no keyword {key!r}{meant(key, keywords)}" if equals else f"cannot have {piece!r} after a keyword"
            raise ValueError(f"{kind} {wrong} in {text!r}: write {form(kind, make)}.")
        given[key] = number(spelt, text, f"write {form(kind, make)}", yes=isinstance(keywords[key], bool))
    missing = [f"{name}=" for name, default in keywords.items() if default is _MUST and name not in given]
    if missing:
        raise ValueError(f"{kind} needs {' and '.join(missing)}, which {text!r} does not have: write {form(kind, make)}.")
    return plain, given


def number(piece: str, text: str, remedy: str, *, yes: bool = False) -> float:
    """The number that a piece of `text` is, or with `yes` true or false; ValueError, which ends with the remedy, where it is neither."""
    for read in ({"true": True, "false": False}.__getitem__,) if yes else (int, float):
        with suppress(ValueError, KeyError):
            return read(piece.lower())
    raise ValueError(f"{piece!r} in {text!r} is {'neither true nor false' if yes else 'no number'}: {remedy}.")


def value(text: str) -> Any:
    """What YAML reads, with tuples for lists, and with 1e-3 and inf as numbers, which it takes for words."""
    try:
        found = yaml.safe_load(text)
        return float(found) if isinstance(found, str) else tuple(found) if isinstance(found, list) else found
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def meant(word: str, known: Iterable[str], around: str = " ({})") -> str:
    """A question such as `(did you mean 'Fixed'?)`, with a blank before it or in other brackets; nothing where no known word is near."""
    near = difflib.get_close_matches(str(word).lower(), lowered := {name.lower(): name for name in known}, n=1)
    return around.format(f"did you mean {lowered[near[0]]!r}?") if near else ""


def _arguments(make: Callable) -> tuple[str, dict[str, Any]]:
    """What stands behind the colon, and the keywords that may follow, with their defaults."""
    first, *others = (one for one in inspect.signature(make).parameters.values() if one.name not in _ELSEWHERE)
    return "data" if first.name == "X" else first.name, {one.name: one.default for one in others}
