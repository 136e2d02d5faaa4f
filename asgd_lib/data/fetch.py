"""A file from the first place that has it whole, folders before the network; checked by sha256, never half-written."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from asgd_lib.atomic import atomic_path

T = TypeVar("T")
Split = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]  # X, y, X_test, y_test
TIMEOUT = 30.0  # seconds of silence after which a server counts as unreachable


def root(folder: str | os.PathLike | None = None) -> tuple[Path, bool]:
    """The folder to look in first and to download into, and whether it is the library's own cache."""
    named = folder or os.environ.get("ASGD_DATA")
    return (Path(named).expanduser().absolute(), False) if named else (Path.home() / ".cache" / "asgd_lib", True)


def content(packed: bytes, sha256: str) -> bytes:
    """Uncompress a gzip file; ValueError unless it is whole and its content has this sha256.

    The content is checked, not the .gz: two packers of the same data write different headers.
    """
    try:
        plain = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        reason = f"is truncated or no gzip file ({error}); the sha256 expected of its content is {sha256}"
        raise ValueError(reason) from error
    found = hashlib.sha256(plain).hexdigest()
    if found != sha256:
        raise ValueError(f"holds other data: the sha256 of its content is {found}, expected {sha256}")
    return plain


def obtain(
    name: str,
    *,
    named: Iterable[Path] = (),
    spare: Iterable[Path] = (),
    read: Callable[[Path], T | None],
    delete: str | Callable[[Path], str],
    urls: Sequence[str] = (),
    check: Callable[[bytes], T],
    target: Path,
    remedy: str,
) -> tuple[T, str]:
    """What `read` finds in the first place that has it whole, or `check` in the answer of the first url; and that path or URL.

    `read` gives None where nothing is; `read` and `check` raise ValueError, with the end of a sentence, for damaged data. Tried in turn:
    the paths `named` by the user, where damage raises ValueError (saying what to `delete`); the paths `spare`, where it is passed over; the
    `urls`, whose answer is checked and then written to `target` in one piece. FileNotFoundError with the `remedy` if nobody has it whole.
    """
    troubles = []
    for strict, paths in ((True, named), (False, spare)):
        for path in paths:
            try:
                found = read(path)
            except ValueError as error:
                if strict:
                    raise ValueError(f"{path} {error}. {delete if isinstance(delete, str) else delete(path)}") from error
                troubles.append(f"{path} {error}")
            else:
                if found is not None:
                    return found, str(path)
    for url in urls:
        try:
            answer = download(url)
            found = check(answer)
        except (OSError, http.client.HTTPException) as error:
            troubles.append(f"{url} could not be reached ({error})")
        except ValueError as error:
            troubles.append(f"{url} {error}")
        else:
            store(answer, target)
            return found, url
    reasons = "; ".join(troubles) or "it is in none of the folders looked in"
    raise FileNotFoundError(f"{name} could not be had: {reasons}. {remedy}")


def download(url: str) -> bytes:
    """All bytes behind `url`; OSError or HTTPException if it cannot be reached or breaks off."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return answer.read()


def store(packed: bytes, target: Path) -> None:
    """Write `packed` to `target`, whole or not at all; OSError naming the way out if the folder cannot be written."""
    with atomic_path(target, "Name a writable folder with space by folder= or ASGD_DATA.") as temporary:
        temporary.write_bytes(packed)
