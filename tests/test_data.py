"""Data sets: what `load` promises of each name, and where the embedded one comes from."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import datasets

from asgd_lib import data
from asgd_lib.data import bundled, fashion_mnist

ROOT = Path(__file__).parents[1]
FULL_IS_HERE = all((fashion_mnist.DEBIAN / fashion_mnist.FOLDER / name).is_file() for name in fashion_mnist.FILES)
needs_full = pytest.mark.skipif(not FULL_IS_HERE, reason="needs Debian's package dataset-fashion-mnist")

TABLE = {  # name: (train, test, features, classes)
    "digits": (1497, 300, 64, 10),
    "breast_cancer": (456, 113, 30, 2),
    "wine": (144, 34, 13, 3),
    "iris": (120, 30, 4, 3),
    "diabetes": (354, 88, 10, None),
    "fashion_mnist_small": (6000, 1000, 784, 10),
}


@pytest.mark.parametrize("name", TABLE)
def test_shapes_types_and_scale(name):
    train, test, features, classes = TABLE[name]
    X, y, X_test, y_test = data.load(name)
    assert X.shape == (train, features) and X_test.shape == (test, features)
    assert y.shape == (train,) and y_test.shape == (test,)
    assert X.dtype == X_test.dtype == torch.float32 and bool(torch.isfinite(torch.cat([X, X_test])).all())
    if classes is None:
        assert y.dtype == y_test.dtype == torch.float32
        assert abs(y.mean().item()) < 1e-6 and abs(y.std(correction=0).item() - 1) < 1e-6
    else:
        assert y.dtype == y_test.dtype == torch.int64
        assert y.unique().tolist() == y_test.unique().tolist() == list(range(classes))
    if features in (64, 784):
        assert (X.min(), X.max(), X_test.min(), X_test.max()) == (0, 1, 0, 1)
    else:
        assert X.mean(0).abs().max() < 1e-5 and (X.std(0, correction=0) - 1).abs().max() < 1e-5
        assert X_test.mean(0).abs().max() > 1e-3  # the test part did not take part in the scaling


@pytest.mark.parametrize("name", bundled.SETS)
def test_bundled_splits_lose_and_share_no_sample_and_are_stratified(name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    mask = bundled.held_out(np.zeros(len(y), dtype=int) if name == "diabetes" else y, bundled.SETS[name])
    parts = data.load(name, dtype=torch.float64)
    scaled = X / 16 if name == "digits" else (X - X[~mask].mean(0)) / X[~mask].std(0)
    assert np.array_equal(parts[0].numpy(), scaled[~mask]) and np.array_equal(parts[2].numpy(), scaled[mask])
    if name == "digits":
        assert np.bincount(y[mask]).tolist() == [30] * 10
    elif name != "diabetes":
        assert np.bincount(y[mask]).tolist() == (np.bincount(y) // 5).tolist()


def test_embedded_images_are_balanced():
    _, y, _, y_test = data.load("fashion_mnist_small")
    assert torch.bincount(y).tolist() == [600] * 10 and torch.bincount(y_test).tolist() == [100] * 10
    assert fashion_mnist.first_of_each_class(np.array([1, 0, 1, 1, 0]), 2).tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("name", ["digits", "fashion_mnist_small"])
def test_tensors_are_the_callers_own(name):
    for part in data.load(name, dtype=torch.float64):
        part.fill_(-7)
    assert all(part.min() >= 0 for part in data.load(name, dtype=torch.float64))


def test_dtype_is_the_callers_choice():
    X, y, X_test, _ = data.load("fashion_mnist_small", dtype=torch.float64)
    assert X.dtype == X_test.dtype == torch.float64 and y.dtype == torch.int64
    assert torch.equal((X * 255).round(), X * 255)
    assert data.load("diabetes", dtype=torch.float64)[1].dtype == torch.float64
    with pytest.raises(ValueError, match="dtype must be a floating torch type such as torch.float32; got torch.int64"):
        data.load("digits", dtype=torch.int64)


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match="name must be one of 'digits'.*'cifar10', 'shakespeare'; got 'cifar'"):
        data.load("cifar")


def test_import_and_embedded_sets_need_no_network():
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('network')\n"
        "socket.create_connection = socket.getaddrinfo = refuse\n"
        "from asgd_lib import data\n"
        "print(*(len(data.load(name)[0]) for name in data.NAMES if name not in ('fashion_mnist', 'cifar10', 'shakespeare')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1497", "456", "144", "120", "354", "6000"]


def test_damaged_embedded_file_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "fashion_mnist_small.npz"
    broken.write_bytes(fashion_mnist.SMALL.read_bytes()[:-1])
    monkeypatch.setattr(fashion_mnist, "SMALL", broken)
    fashion_mnist.small.cache_clear()
    with pytest.raises(ValueError, match=f"{broken} is damaged: .* expected {fashion_mnist.SMALL_SHA256}. Install"):
        data.load("fashion_mnist_small")


@needs_full
def test_embedded_file_is_what_the_script_makes(tmp_path, monkeypatch):
    monkeypatch.setenv("ASGD_DATA", str(fashion_mnist.DEBIAN))
    spec = importlib.util.spec_from_file_location("embed", ROOT / "scripts" / "embed_fashion_mnist.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.main([str(tmp_path / "again.npz")]) == 0
    assert (tmp_path / "again.npz").read_bytes() == fashion_mnist.SMALL.read_bytes()


@needs_full
def test_full_set_holds_the_embedded_one():
    X, y, X_test, y_test = data.load("fashion_mnist", folder=fashion_mnist.DEBIAN)
    assert X.shape == (60_000, 784) and X_test.shape == (10_000, 784)
    assert torch.bincount(y).tolist() == [6000] * 10 and torch.bincount(y_test).tolist() == [1000] * 10
    small = data.load("fashion_mnist_small")
    for whole, labels, images, per_class in ((X, y, small[0], 600), (X_test, y_test, small[2], 100)):
        assert torch.equal(whole[fashion_mnist.first_of_each_class(labels.numpy(), per_class)], images)
