"""How unlike the workers are: sizes, label mixes and the measured gradient dissimilarity of a partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from asgd_lib import checks
from asgd_lib.partition import arguments


class Objective(Protocol):
    """What can be measured of a problem without an engine: its start, and exact gradients."""

    x0: torch.Tensor

    def full_grad(self, x: torch.Tensor, worker: int | None = None) -> torch.Tensor:
        """The exact gradient of f_worker, or of f, at `x`."""


def counts(parts: Sequence[Sequence[Any]], labels: ArrayLike | Sequence[str]) -> np.ndarray:
    """`(n_workers, classes)` int64: how many samples of each class (in the labels' sorted order) each worker holds."""
    codes = arguments.classes(labels)
    table = np.zeros((len(parts), codes.max() + 1), dtype=np.int64)
    for worker, part in enumerate(parts):
        indices = arguments.array(part)
        if indices.size and not (indices.dtype.kind in "iu" and 0 <= indices.min() and indices.max() < len(codes)):
            raise ValueError(f"parts[{worker}] must hold indices from 0 to {len(codes) - 1}; it holds others.")
        np.add.at(table[worker], codes[indices.astype(np.int64)], 1)
    return table


def report(
    parts: Sequence[Sequence[Any]], labels: ArrayLike | Sequence[str], problem: Objective | None = None, x: torch.Tensor | None = None
) -> pd.DataFrame:
    """One row a worker: `worker, size, classes, entropy, tv_distance`, and given a `problem` also `grad_gap_sq`.

    `classes` is the number of classes present; `entropy` that of the worker's label mix q, -sum_c q_c log q_c in nats;
    `tv_distance` is 1/2 sum_c |q_c - p_c| to the mix p of all `labels` (both NaN for an empty worker).
    `grad_gap_sq` is ||grad f_i(x) - grad f(x)||^2, and its mean over workers, zeta^2, is on `.attrs["zeta_sq"]`.
    For a regression target give the number of samples as `labels`. ValueError for parts that do not index the labels.
    """
    table = counts(parts, labels)
    sizes = table.sum(axis=1)
    overall = np.bincount(arguments.classes(labels)) / len(arguments.classes(labels))
    mix = table / np.where(sizes > 0, sizes, np.nan)[:, None]
    logs = np.log(np.where(mix > 0, mix, 1.0))
    frame = pd.DataFrame(
        {
            "worker": np.arange(len(table)),
            "size": sizes,
            "classes": (table > 0).sum(axis=1),
            "entropy": np.abs(mix * logs).sum(axis=1),
            "tv_distance": 0.5 * np.abs(mix - overall).sum(axis=1),
        }
    )
    if problem is not None:
        frame["grad_gap_sq"] = _gaps(problem, len(table), x)
        frame.attrs["zeta_sq"] = float(frame["grad_gap_sq"].mean())
    return frame


def gradient_dissimilarity(problem: Objective, n_workers: int, x: torch.Tensor | None = None) -> float:
    """zeta^2(x) = (1/n) sum_i ||grad f_i(x) - grad f(x)||^2 by full-data gradients, at `x (d,)` or else `x0`."""
    return float(_gaps(problem, n_workers, x).mean())


def _gaps(problem: Objective, n_workers: int, x: torch.Tensor | None) -> np.ndarray:
    checks.count("n_workers", n_workers)
    if getattr(problem, "n", n_workers) != n_workers:  # of fewer, grad f would not be the mean
        raise ValueError(f"This problem has {problem.n} workers, and the gaps of all are needed; got {n_workers}.")
    point = problem.x0 if x is None else x.to(problem.x0)
    if point.shape != problem.x0.shape:
        raise ValueError(f"x must have shape {tuple(problem.x0.shape)}, as x0 has; got {tuple(point.shape)}.")
    overall = problem.full_grad(point).double()
    gaps = [(problem.full_grad(point, worker=worker).double() - overall).square().sum() for worker in range(n_workers)]
    return np.array([gap.item() for gap in gaps])
