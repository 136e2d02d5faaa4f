"""One number a run, against what was varied: step sizes, workers, straggler factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from matplotlib.transforms import blended_transform_factory

from asgd_lib.checks import columns
from asgd_lib.plots.style import NAMES, axes, caption, legend, look_of, span
from asgd_lib.plots.style import looks as _looks
from asgd_lib.plots.ticks import log_ticks, scale


def lr_curve(
    history: pd.DataFrame,
    y: str = "loss",
    hue: str = "method",
    best: Literal["lowest", "highest"] = "lowest",
    *,
    logy: bool = True,
    looks: dict[Any, dict[str, Any]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each run's last `y` against its step size: median over seeds, bars from the least to the greatest.

    A ring marks the step size with the best median among those at which every seed finished; crossed-out markers at
    the upper edge stand for step sizes at which some seed did not (diverged or out of time): the line is interrupted there.
    """
    columns("history", history, "run", "status", y, hue)
    last = history.groupby("run", sort=False).tail(1)
    last = last.assign(**{y: last[y].where(last["status"] == "done", np.nan)})
    ax = axes(ax)
    given = looks or _looks(last[hue])
    for i, (value, rows) in enumerate(last.groupby(hue, sort=False)):
        lrs, samples = zip(*((lr, group[y].to_numpy(float)) for lr, group in rows.groupby("lr")), strict=True)
        middle = _points(ax, np.array(lrs), samples, str(value), look_of(value, given), i)
        if np.isfinite(middle).any():
            at = np.nanargmin(middle) if best == "lowest" else np.nanargmax(middle)
            ax.plot(lrs[at], middle[at], "o", markersize=12, fillstyle="none", color=given[value]["color"], markeredgewidth=1.6)
    ax.set_xscale("log")
    ax.set_yscale("log" if logy else "linear")
    if logy:
        log_ticks(ax.yaxis)
    ax.set(xlabel=NAMES["lr"], ylabel=f"final {NAMES.get(y, y)}")
    caption(ax, f"{_seeds(last.groupby([hue, 'lr'])['seed'].nunique())}; ring: best; crossed out: not finished")
    legend(ax)
    return ax


def scaling(
    x: Sequence[float],
    y_by_seed: Mapping[Any, Any],
    xlabel: str,
    ylabel: str,
    *,
    logx: bool = True,
    logy: bool = True,
    looks: dict[Any, dict[str, Any]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw, for each label, samples (seeds, m) against x (m,): median over seeds, bars from the least to the greatest.

    Points with a sample that is not finite are no points: a crossed-out marker at the upper edge stands for them.
    """
    across = np.asarray(x, dtype=float)
    ax = axes(ax)
    given = looks or _looks(y_by_seed)
    for i, (label, samples) in enumerate(y_by_seed.items()):
        values = np.atleast_2d(np.asarray(samples, dtype=float))
        if values.ndim != 2 or values.shape[1] != len(across):
            raise ValueError(f"{label!r} must have shape (seeds, {len(across)}), a column for each x; got {values.shape}.")
        _points(ax, across, values.T, str(label), look_of(label, given), i)
    scale(ax, logx, logy)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(across) <= 10:
        ax.set_xticks(np.unique(across), [f"{value:g}" for value in np.unique(across)])
        ax.xaxis.set_minor_locator(NullLocator())
    caption(ax, _seeds([len(np.atleast_2d(samples)) for samples in y_by_seed.values()]))
    legend(ax)
    return ax


def _seeds(numbers: Any) -> str:
    return "one seed" if max(numbers) == 1 else f"median and range, {span(numbers)} seeds"


def _points(ax: Axes, x: np.ndarray, samples: Any, label: str, look: dict[str, Any], order: int) -> np.ndarray:
    """Draw a line with bars through the points whose samples are all finite, crosses for the others; the medians (m,)."""
    whole = np.array([len(group) > 0 and bool(np.isfinite(group).all()) for group in samples])
    ends = np.full((3, len(x)), np.nan)
    for i in np.flatnonzero(whole):
        ends[:, i] = np.median(samples[i]), np.min(samples[i]), np.max(samples[i])
    middle, low, high = ends
    ax.errorbar(x, middle, (middle - low, high - middle), label=label, capsize=2.5, elinewidth=1.1, **look)
    edge = {"color": look["color"], "linestyle": "none", "transform": blended_transform_factory(ax.transData, ax.transAxes)}
    places = x[~whole], np.full((~whole).sum(), 0.96 - 0.06 * order)
    ax.plot(*places, marker=look["marker"], fillstyle="none", markersize=9, **edge)
    ax.plot(*places, marker="x", markersize=5, markeredgewidth=1.8, **edge)
    return middle
