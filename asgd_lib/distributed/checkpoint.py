"""Rule states on disk: plain containers and tensors, read back without unpickling code."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from typing import Any

import torch
from torch import Tensor

from asgd_lib.atomic import atomic_path
from asgd_lib.rules import Rule

SCHEMA = 1
_NAMED = "named tuple"


def save(values: dict[str, Any], path: str | os.PathLike) -> None:
    """Write numbers, tensors and (named) tuples of them; the file is whole or absent."""
    content = io.BytesIO()  # written by Python, whose errors say what is wrong with the disk
    torch.save({"schema": SCHEMA, **{name: _plain(value) for name, value in values.items()}}, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load(path: str | os.PathLike, rule: Rule, state: Any) -> dict[str, Any]:
    """Read what `save` wrote; `rule` and a `state` of it say which named tuples may occur, and the device and dtype of tensors.

    Raises ValueError where the file is damaged, or does not belong to this rule and problem.
    """
    try:
        with zipfile.ZipFile(path) as file:  # torch.load compares no checksum: a flipped bit would be a gradient step nobody made
            if file.testzip() is not None:
                raise ValueError("a checksum does not fit")
        values = torch.load(path, weights_only=True, map_location=state.x.device)
        schema = values.pop("schema")
    except Exception as error:  # zip, pickle and torch each fail on damaged bytes in ways of their own
        raise ValueError(f"{path} is no whole checkpoint ({type(error).__name__}); delete it, and the journal is computed anew.") from error
    if schema != SCHEMA:
        raise ValueError(f"{path} is a checkpoint of schema {schema!r}, not {SCHEMA}; delete it, and the journal is computed anew.")
    known = _named_tuples(rule, state)
    try:
        restored = {name: _restored(value, known, path) for name, value in values.items()}
        ours = type(restored["state"]) is type(state) and restored["state"].x.shape == state.x.shape
    except (AttributeError, KeyError, TypeError):  # whole, but written by something else
        ours = False
    if not ours:
        raise ValueError(f"{path} is not a checkpoint of {rule!r} on this problem; choose another folder.")
    return restored


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        items = tuple(_plain(v) for v in value)
        return {_NAMED: type(value).__name__, "fields": items} if hasattr(value, "_fields") else items
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value.clone() if isinstance(value, Tensor) else value  # a view would drag its whole block into the file


def _restored(value: Any, known: dict[str, type], path: Any) -> Any:
    if isinstance(value, dict) and _NAMED in value:
        if value[_NAMED] not in known:
            raise ValueError(f"{path} holds a {value[_NAMED]!r}, which this rule has not; it belongs to another method.")
        return known[value[_NAMED]](*_restored(value["fields"], known, path))
    if isinstance(value, dict):
        return {k: _restored(v, known, path) for k, v in value.items()}
    return tuple(_restored(v, known, path) for v in value) if isinstance(value, tuple) else value


def _named_tuples(rule: Rule, state: Any) -> dict[str, type]:
    """Named tuples of the library's rules, of the rule's own module and of the state itself, by name."""
    modules = [m for name, m in sys.modules.items() if name.startswith("asgd_lib.rules") or name == type(rule).__module__]
    classes = [c for module in modules for c in vars(module).values() if isinstance(c, type) and hasattr(c, "_fields")]
    return {c.__name__: c for c in [*classes, *_types(state)]}


def _types(value: Any) -> list[type]:
    if not isinstance(value, tuple):
        return []
    return [*([type(value)] if hasattr(value, "_fields") else []), *(t for v in value for t in _types(v))]
