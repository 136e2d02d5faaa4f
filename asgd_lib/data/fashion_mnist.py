"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, MIT licence): all of it from files, a balanced tenth embedded."""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from asgd_lib.data import fetch

# sha256 of each file's *uncompressed* content: Debian's .gz and the authors' differ in their headers (name and date),
# not in what they hold
FILES = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
HEADER = {"images": 16, "labels": 8}  # bytes of an idx file before its values
PIXELS = 28 * 28
FOLDER = "fashion-mnist"
DEBIAN = Path("/usr/share/datasets")
HOMES = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
SMALL = Path(__file__).parents[1] / "datasets" / "fashion_mnist_small.npz"
SMALL_SHA256 = "704fafb0e674a03dedf5beb1e2f829616ec0559bc41d2e4afa35cd18f6e92f04"
PER_CLASS = {"train": 600, "test": 100}


def file(name: str, folder: Path, own: bool) -> tuple[bytes, str]:
    """The uncompressed content of one of FILES and where it came from; errors as `fetch.obtain`."""
    local, debian = [folder / FOLDER / name, folder / name], DEBIAN / FOLDER / name

    def read(path: Path) -> bytes | None:
        return fetch.content(path.read_bytes(), FILES[name]) if path.is_file() else None

    return fetch.obtain(
        name,
        named=[] if own else local,
        spare=[*local, debian] if own else [debian],
        read=read,
        delete="Delete it and run `make data`.",
        urls=[home + name for home in HOMES],
        check=partial(fetch.content, sha256=FILES[name]),
        target=local[0],
        remedy=f"Put the four files {', '.join(FILES)} into {folder / FOLDER} (or name another folder by folder= or "
        "ASGD_DATA), or on Debian or Ubuntu install the package dataset-fashion-mnist.",
    )


@lru_cache(maxsize=1)
def full(folder: Path, own: bool) -> fetch.Split:
    """All 60,000 / 10,000 samples as bytes, `X (N, 784)`, `y (N,)`; shared between calls, not to be written to."""

    def values(name: str) -> torch.Tensor:
        content, _ = file(name, folder, own)
        return torch.tensor(np.frombuffer(content, np.uint8, offset=HEADER["images" if "images" in name else "labels"]))

    X, y, X_test, y_test = map(values, FILES)
    return X.reshape(-1, PIXELS), y, X_test.reshape(-1, PIXELS), y_test


def first_of_each_class(y: np.ndarray, per_class: int) -> np.ndarray:
    """Indices, in file order, of the first `per_class` samples of every class: the choice behind the embedded set."""
    return np.sort(np.concatenate([np.flatnonzero(y == label)[:per_class] for label in np.unique(y)]))


@lru_cache(maxsize=1)
def small() -> fetch.Split:
    """The embedded 6,000 / 1,000 samples, laid out as in `full`; ValueError if the file is not the one shipped."""
    found = hashlib.sha256(SMALL.read_bytes()).hexdigest()
    if found != SMALL_SHA256:
        remedy = "Install asgd_lib afresh or check the file out again."
        raise ValueError(f"{SMALL} is damaged: its sha256 is {found}, expected {SMALL_SHA256}. {remedy}")
    with np.load(SMALL, allow_pickle=False) as arrays:
        return tuple(torch.from_numpy(arrays[key]) for key in ("X", "y", "X_test", "y_test"))
