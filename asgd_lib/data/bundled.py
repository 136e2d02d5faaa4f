"""The small data sets that scikit-learn brings along, with splits that need no randomness."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from asgd_lib.data.fetch import Split

# name -> test samples per class; None: a fifth of each class, rounded down (diabetes counts as one class)
SETS = {"digits": 30, "breast_cancer": None, "wine": None, "iris": None, "diabetes": None}


@lru_cache(maxsize=len(SETS))
def split(name: str) -> Split:
    """`X, y, X_test, y_test` of the set `name`, float64 and scaled; shared between calls, never written to."""
    from sklearn import datasets  # a second's import, paid only by those who ask

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    classes = np.zeros(len(y), dtype=np.int64) if name == "diabetes" else y
    test = held_out(classes, SETS[name])
    if name == "digits":
        X = X / 16.0
    else:
        X = standardised(X, ~test)
    y = standardised(y, ~test) if name == "diabetes" else y.astype(np.int64)
    return tuple(torch.from_numpy(part) for part in (X[~test], y[~test], X[test], y[test]))


def held_out(classes: np.ndarray, per_class: int | None) -> np.ndarray:
    """Mask `(N,)` of the test samples: in each class, evenly spaced positions of the file order.

    Even spacing, since the ends of the files are special (the last digits are other people's handwriting).
    """
    mask = np.zeros(len(classes), dtype=bool)
    for label in np.unique(classes):
        where = np.flatnonzero(classes == label)
        k = len(where) // 5 if per_class is None else per_class
        mask[where[(2 * np.arange(k) + 1) * len(where) // (2 * k)]] = True
    return mask


def standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """`(values - mean) / std`, column by column, with mean and std of the rows in the mask `train`."""
    return (values - values[train].mean(axis=0)) / values[train].std(axis=0)
