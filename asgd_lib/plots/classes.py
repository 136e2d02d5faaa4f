"""Who holds which classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from asgd_lib.plots.style import axes

_CELLS = 160  # above which the numbers in the cells would overlap


def partition(parts: Sequence[Sequence[int]], labels: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw how many samples of each class each worker holds: darker is more, an empty cell is white.

    `parts`: one array of indices a worker; `labels`: the class of every sample (N,), whole numbers from 0.
    """
    classes = np.asarray(labels)
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer) or (len(classes) and classes.min() < 0):
        raise ValueError(f"labels must be whole numbers from 0, shape (N,); got {classes.dtype} {classes.shape}.")
    if not len(parts):
        raise ValueError("There is no part to draw: give one array of indices a worker.")
    n_classes = int(classes.max()) + 1
    counts = np.stack([np.bincount(classes[np.asarray(part, dtype=int)], minlength=n_classes) for part in parts], axis=1)
    ax = axes(ax, height=min(max(1.4 + 0.28 * n_classes, 2.4), 6.0))
    image = ax.imshow(np.ma.masked_equal(counts, 0), cmap="Blues", vmin=0, aspect="auto", interpolation="nearest")
    if counts.size <= _CELLS:
        size = "small" if counts.shape[1] <= 12 else "x-small"
        for (row, column), number in np.ndenumerate(counts):
            ink = "white" if number > 0.6 * counts.max() else "black"
            ax.text(column, row, str(number or ""), ha="center", va="center", fontsize=size, color=ink)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02, ticks=MaxNLocator(6, integer=True))
    bar.set_label("samples")
    bar.outline.set_visible(False)
    ax.set(xlabel="worker", ylabel="class")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(12, integer=True, steps=[1, 2, 5, 10]))
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax
