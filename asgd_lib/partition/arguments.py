"""What the partitioners accept: labels, features or a number of samples, as numpy arrays, lists or tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from asgd_lib import checks


def array(values: Any) -> np.ndarray:
    """`values` as a numpy array, wherever a tensor lives and whatever it tracks."""
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def samples(labels_or_n: Any) -> int:
    """The number of samples: a whole number itself, or the length of anything with one row a sample."""
    rows = _filled(labels_or_n)
    return len(rows) if rows.ndim else checks.count("the number of samples", rows.item())


def classes(labels_or_n: Any) -> np.ndarray:
    """Class codes 0, 1, ... `(N,)` int64 in the labels' sorted order; a number n stands for n samples of one class."""
    labels = _filled(labels_or_n)
    if labels.ndim == 0:
        return np.zeros(samples(labels_or_n), dtype=np.int64)
    if labels.ndim != 1:
        raise ValueError(f"labels must be one a sample, shape (N,), or a number of samples; got shape {labels.shape}.")
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels):  # a column of pandas
        labels = labels.astype(str)
    if labels.dtype.kind == "f":
        odd = labels[~(np.isfinite(labels) & (labels == np.round(labels)))]
    else:
        odd = labels[: 0 if labels.dtype.kind in "biuUS" else 1]
    if len(odd):
        raise ValueError(
            f"labels must be classes (whole numbers or names); got {checks.shown(odd.tolist()[0])}. For a regression target give "
            "the number of samples instead, or deal by value with feature_skew."
        )
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def features(values: Any) -> np.ndarray:
    """Features `(N, features)` float64 of any `(N, ...)` array; a number n stands for n samples and their positions."""
    table = _filled(values)
    if table.ndim == 0:
        table = np.arange(samples(values))
    if table.dtype.kind not in "biuf" or not np.isfinite(table).all():
        raise ValueError("features must be finite numbers, shape (N,) or (N, features); drop the samples that are not.")
    return table.reshape(len(table), -1).astype(np.float64)


def workers(n_workers: Any, available: int, least: int = 1) -> int:
    """`n_workers` as an int, if the `available` samples suffice to give each worker `least`."""
    n = checks.count("n_workers", n_workers)
    if n * least > available:
        raise ValueError(
            f"{n} workers with at least {least} sample{'s' if least != 1 else ''} each need {n * least} samples; "
            f"got {available}. Use fewer workers or more samples."
        )
    return n


def _filled(values: Any) -> np.ndarray:
    rows = array(values)
    if rows.ndim and len(rows) == 0:
        raise ValueError("there must be at least 1 sample; got an empty array.")
    return rows
