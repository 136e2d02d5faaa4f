"""The content of a value as one short name: what a result depends on, so that it need not be computed twice."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np


def fingerprint(*values: Any) -> str:
    """32 hexadecimal digits that change with the content of `values`, and with nothing else: not with the process, nor with what an object
    has cached.

    Arrays, tensors, containers, functions and objects are followed to their last number; of functions and of classes outside installed
    packages the code counts too, of packages the version. Raises ValueError for values that cannot be followed, such as open files.
    """
    digest = hashlib.sha256()
    _feed(digest, values, [])
    return digest.hexdigest()[:32]


def content_key(value: Any) -> str:
    """A text that values of one content share, and no others; what cannot be followed shares its own with nobody.

    The repr alone would not do: those of arrays and tensors leave digits and items out.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    try:
        return fingerprint(value)
    except ValueError:
        return f"{type(value).__qualname__} at {id(value)}"


@lru_cache(maxsize=1)
def library() -> str:
    """The fingerprint of this library's own source, so that results of another version are never mistaken for its own."""
    root = Path(__file__).parent
    return fingerprint({str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.py"))})


def _feed(digest, value: Any, above: list[int]) -> None:
    """Write type and content of `value`, unambiguously; `above` holds the objects that we are in, so that circles end."""
    kind = type(value)
    digest.update(f"<{kind.__module__}.{kind.__qualname__}:".encode())
    if value is None or isinstance(value, (bool, int, float, complex, str, Path)):
        digest.update(repr(value).encode())
    elif isinstance(value, bytes):
        digest.update(str(len(value)).encode() + b":" + value)
    elif id(value) in above:
        digest.update(f"up {len(above) - above.index(id(value))}".encode())
    else:
        above.append(id(value))
        for part in _parts(value):
            _feed(digest, part, above)
        above.pop()
    digest.update(b">")


def _parts(value: Any) -> list:
    """What `value` is made of."""
    if hasattr(value, "detach"):  # a tensor, known by its method: this module must load without torch
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]
    if isinstance(value, Mapping):
        return [part for pair in sorted(value.items(), key=lambda pair: repr(pair[0])) for part in pair]
    if isinstance(value, (set, frozenset)):
        return sorted(fingerprint(part) for part in value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return list(value)
    if isinstance(value, type):
        return [value.__module__, value.__qualname__, *_code_of(value)]
    if isinstance(value, FunctionType):
        closed = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__module__, value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__, closed]
    if isinstance(value, CodeType):
        return [value.co_code, list(value.co_names), list(value.co_consts)]
    if "__reduce__" in vars(type(value)) or not hasattr(value, "__dict__"):
        return _reduced(value)
    if type(value).__getstate__ is not object.__getstate__:
        return [type(value), value.__getstate__()]
    cached = _cached(type(value))
    return [type(value), {name: part for name, part in vars(value).items() if name not in cached}]


@lru_cache(maxsize=1024)
def _cached(kind: type) -> frozenset[str]:
    """The attributes that are worked out from others when they are first asked for."""
    return frozenset(name for base in kind.__mro__ for name, member in vars(base).items() if isinstance(member, cached_property))


def _reduced(value: Any) -> list:
    try:
        reduced = value.__reduce_ex__(4)
    except Exception as error:
        raise ValueError(f"{value!r} cannot be told by its content ({error}); a cached sweep needs plain data, or cache=None.") from error
    if isinstance(reduced, str):
        return [reduced]
    return [type(value), *reduced[1:3], *(list(part) for part in reduced[3:5] if part is not None)]


def _code_of(kind: type) -> list:
    """The version of an installed package, or else the functions of a class that somebody may be working on."""
    package = kind.__module__.split(".")[0]
    version = getattr(sys.modules.get(package), "__version__", None)
    if version is not None or package in sys.stdlib_module_names - {"__main__"}:
        return [str(version)]
    members = {name: getattr(member, "fget", None) or getattr(member, "__func__", member) for name, member in vars(kind).items()}
    functions = {name: member for name, member in members.items() if isinstance(member, FunctionType)}
    return [functions, *(_code_of(base) for base in kind.__bases__)]
