"""Data files: found, fetched, checked; and what happens to those that are damaged, half there or out of reach."""

from __future__ import annotations

import gzip
import hashlib
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from asgd_lib import data
from asgd_lib.data import __main__ as command
from asgd_lib.data import fashion_mnist, fetch

FULL_IS_HERE = all((fashion_mnist.DEBIAN / fashion_mnist.FOLDER / name).is_file() for name in fashion_mnist.FILES)
needs_full = pytest.mark.skipif(not FULL_IS_HERE, reason="needs Debian's package dataset-fashion-mnist")


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Fashion-MNIST with 3 training and 2 test images, in no folder yet: (file name -> gzip bytes, X, X_test)."""
    X, X_test = (np.arange(n * 784, dtype=np.uint8).reshape(n, 784) for n in (3, 2))
    images = [struct.pack(">4I", 2051, len(x), 28, 28) + x.tobytes() for x in (X, X_test)]
    labels = [struct.pack(">2I", 2049, len(y)) + bytes(y) for y in ((9, 0, 4), (7, 1))]
    plain = dict(zip(fashion_mnist.FILES, (images[0], labels[0], images[1], labels[1]), strict=True))
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in plain.items()}
    monkeypatch.setattr(fashion_mnist, "FILES", checksums)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "no-debian")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ASGD_DATA", raising=False)
    fashion_mnist.full.cache_clear()
    yield {name: gzip.compress(content) for name, content in plain.items()}, X, X_test
    fashion_mnist.full.cache_clear()


def put(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, packed in files.items():
        (folder / name).write_bytes(packed)


@pytest.mark.parametrize("sub", ["", fashion_mnist.FOLDER])
@pytest.mark.parametrize("how", ["folder", "environment"])
def test_full_set_from_a_folder(toy, no_network, monkeypatch, tmp_path, sub, how):
    files, X, X_test = toy
    put(files, tmp_path / "mine" / sub)
    if how == "environment":
        monkeypatch.setenv("ASGD_DATA", str(tmp_path / "mine"))
    found = data.load("fashion_mnist", folder=tmp_path / "mine" if how == "folder" else None)
    assert torch.equal((found[0] * 255).round().to(torch.uint8), torch.from_numpy(X))
    assert torch.equal((found[2] * 255).round().to(torch.uint8), torch.from_numpy(X_test))
    assert found[1].tolist() == [9, 0, 4] and found[3].tolist() == [7, 1]
    assert no_network == []


def test_full_set_is_downloaded_once_into_the_cache(toy, monkeypatch, tmp_path):
    files, _, _ = toy
    asked = []

    def serve(url, timeout):
        asked.append(url)
        return BytesIO(files[url.rsplit("/", 1)[1]])

    monkeypatch.setattr(fetch.urllib.request, "urlopen", serve)
    cache = tmp_path / "home" / ".cache" / "asgd_lib" / fashion_mnist.FOLDER
    first = data.load("fashion_mnist")
    assert asked == [fashion_mnist.HOMES[0] + name for name in files]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == files
    fashion_mnist.full.cache_clear()
    assert all(map(torch.equal, first, data.load("fashion_mnist"))) and len(asked) == 4


def test_damage_in_the_own_cache_is_repaired(toy, monkeypatch, tmp_path):
    files, _, _ = toy
    cache = tmp_path / "home" / ".cache" / "asgd_lib" / fashion_mnist.FOLDER
    put(files, cache)
    name = "t10k-labels-idx1-ubyte.gz"
    (cache / name).write_bytes(files[name][:-3])
    monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: BytesIO(files[url.rsplit("/", 1)[1]]))
    assert data.load("fashion_mnist")[3].tolist() == [7, 1]
    assert (cache / name).read_bytes() == files[name]


@pytest.mark.parametrize("sub", ["", fashion_mnist.FOLDER])
@pytest.mark.parametrize("damage", ["truncated", "not gzip", "other content", "one bit", "empty"])
def test_damage_in_a_named_folder_is_told(toy, no_network, tmp_path, sub, damage):
    files, _, _ = toy
    name = "train-labels-idx1-ubyte.gz"
    whole = files[name]
    flipped = bytearray(whole)
    flipped[-12] ^= 1
    broken = {
        "truncated": whole[:-9],
        "not gzip": b"<html>not found</html>",
        "other content": gzip.compress(b"\0" * 11),
        "one bit": bytes(flipped),
        "empty": b"",
    }[damage]
    put(files | {name: broken}, tmp_path / sub)
    with pytest.raises(ValueError, match="Delete it and run `make data`") as error:
        data.load("fashion_mnist", folder=tmp_path)
    assert str(tmp_path / sub / name) in str(error.value) and fashion_mnist.FILES[name] in str(error.value)


def test_unreachable_names_what_to_do(toy, no_network, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        data.load("fashion_mnist", folder=tmp_path / "empty")
    told = str(error.value)
    assert all(home in told for home in fashion_mnist.HOMES) and len(no_network) == len(fashion_mnist.HOMES)
    assert all(name in told for name in fashion_mnist.FILES) and str(tmp_path / "empty" / fashion_mnist.FOLDER) in told
    assert not (tmp_path / "empty").exists()


def test_wrong_download_is_never_stored(toy, monkeypatch, tmp_path):
    monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: BytesIO(b"<html>sign in</html>"))
    with pytest.raises(FileNotFoundError, match="truncated or no gzip file"):
        data.load("fashion_mnist", folder=tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


def test_failing_write_leaves_nothing(toy, monkeypatch, tmp_path):
    files, _, _ = toy
    write = Path.write_bytes

    def half(path, content):
        write(path, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: BytesIO(files[url.rsplit("/", 1)[1]]))
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="could not be written .*No space left.*Name a writable folder"):
        data.load("fashion_mnist", folder=tmp_path / "disk")
    assert list((tmp_path / "disk" / fashion_mnist.FOLDER).iterdir()) == []


def test_command_says_what_is_there_and_what_is_not(toy, no_network, monkeypatch, tmp_path, capsys):
    files, _, _ = toy
    monkeypatch.setenv("ASGD_DATA", str(tmp_path / "mine"))
    assert command.main() == 1
    out = capsys.readouterr().out
    assert "digits" in out and "fashion_mnist_small: embedded" in out and "MISSING. train-images" in out
    put(files, tmp_path / "mine")
    assert command.main() == 0
    out = capsys.readouterr().out
    assert all(f"{name} from {tmp_path / 'mine' / name}" in out for name in files)
    monkeypatch.setattr(command.fashion_mnist, "small", (tmp_path / "nowhere").read_bytes)
    assert command.main() == 1 and "fashion_mnist_small: MISSING. " in capsys.readouterr().out


@needs_full
@pytest.mark.parametrize(
    ("name", "md5", "written"),
    [
        ("train-images-idx3-ubyte", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 1504176606),
        ("train-labels-idx1-ubyte", "25c81989df183df01b3e8a0aad5dffbe", 1504176606),
        ("t10k-images-idx3-ubyte", "bef4ecab320f06d8554ea6380940ec79", 1504176627),
        ("t10k-labels-idx1-ubyte", "bb300cfdad3c16e7a12a480ee83cd310", 1504176627),
    ],
)
def test_debian_and_the_authors_have_the_same_content(name, md5, written):
    """Debian's file, given the name and date that its packer took out, has the md5 of the dataset's own README."""
    packed = (fashion_mnist.DEBIAN / fashion_mnist.FOLDER / f"{name}.gz").read_bytes()
    named, header = 0x08, 10
    authors = b"\x1f\x8b\x08" + struct.pack("<BIBB", named, written, 0, 3) + name.encode() + b"\0" + packed[header:]
    assert hashlib.md5(authors).hexdigest() == md5
    assert fetch.content(authors, fashion_mnist.FILES[f"{name}.gz"]) == gzip.decompress(packed)
