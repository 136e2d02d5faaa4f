"""Convergence: one line and one band a method."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from asgd_lib.checks import columns
from asgd_lib.intervals import interval
from asgd_lib.plots.style import NAMES, axes, caption, is_theory, legend, look_of, span
from asgd_lib.plots.style import looks as _looks
from asgd_lib.plots.ticks import scale

Band = Literal["range", "t"] | None


def convergence(
    history: pd.DataFrame,
    x: str = "time",
    y: str = "loss",
    hue: str = "method",
    band: Band = "range",
    *,
    logx: bool = False,
    logy: bool = True,
    looks: dict[Any, dict[str, Any]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw column `y` against `x` ("time", "arrivals", "updates", "used"), one line for each value of `hue`.

    `band="range"`: the median over seeds and the range from the least to the greatest; `"t"`: the mean and its 95 %
    Student t interval, on a logarithmic axis the geometric mean; None: the median alone. A line above the axes says
    which. Where the seeds' clocks differ, a checkpoint (equal arrivals) is drawn at the mean of its times.

    A line is drawn as far as every seed has values: it ends in a cross, and its label says so, where some diverged, because
    the mean of the survivors would look better than the method is. ValueError where a line would mix step sizes.
    """
    columns("history", history, x, y, hue)
    ax = axes(ax)
    scale(ax, logx, logy)
    given = looks or _looks(history[hue])
    n_seeds = []
    every = max(1, history["arrivals"].nunique() // 8)  # about eight markers on a whole line
    for value, rows in history.groupby(hue, sort=False):
        n_seeds.append(_line(ax, rows, x, y, value, band, logy, look_of(value, given) | {"markevery": every}))
    ax.set(xlabel=NAMES.get(x, x), ylabel=NAMES.get(y, y))
    if max(n_seeds, default=1) > 1:
        caption(ax, _statistic(band, logy, n_seeds))
    legend(ax)
    return ax


def _line(ax: Axes, rows: pd.DataFrame, x: str, y: str, value: Any, band: Band, logy: bool, look: dict[str, Any]) -> int:
    """Draw one line; the number of its seeds."""
    runs = rows.groupby("seed")["run"].nunique()
    if runs.max() > 1:
        raise ValueError(f"{value!r} has {runs.max()} runs for one seed (several step sizes?): choose one, or use hue='lr'.")
    values = rows.pivot(index="arrivals", columns="seed", values=y).dropna()
    across = values.index.to_numpy(float)
    if x != "arrivals":
        across = rows.pivot(index="arrivals", columns="seed", values=x).loc[values.index].mean(axis=1).to_numpy()
    samples = values.to_numpy().T
    n_seeds, n_points = samples.shape
    status = rows.groupby("seed")["status"].first()
    broken = {word: int((status == word).sum()) for word in ("diverged", "timeout")}
    say = ", ".join(f"{number} of {n_seeds} {word}" for word, number in broken.items() if number)
    label = f"{value:g}" if isinstance(value, float) else str(value)
    label = f"{label} ({say})" if say else label
    if band == "t" and n_seeds > 1 and n_points:
        centre, low, high = interval(samples, log=logy)
    else:
        centre, low, high = (np.median(samples, axis=0), samples.min(axis=0), samples.max(axis=0)) if n_points else ([],) * 3
    ax.plot(across, centre, label=label, **look)
    if band and n_seeds > 1:
        ax.fill_between(across, low, high, color=look["color"], alpha=0.2, linewidth=0)
    if say and n_points:
        ax.plot(across[-1], centre[-1], marker="x", markersize=9, markeredgewidth=2.2, color=look["color"], clip_on=False)
    return n_seeds


def _statistic(band: Band, logy: bool, n_seeds: list[int]) -> str:
    what = {"range": "median and range", "t": f"{'geometric ' if logy else ''}mean and 95 % interval", None: "median"}[band]
    return f"{what}, {span(n_seeds)} seeds"


def prediction(ax: Axes, x: ArrayLike | None, y: ArrayLike, label: str) -> Axes:
    """Draw what the theory says, dashed and black: a curve `y` over `x`, or a level where `y` is one number (`x=None`).

    A second one on the same axes is dotted, a third one dash-dotted.
    """
    earlier = sum(map(is_theory, ax.lines))
    look = {"color": "black", "linestyle": ("--", ":", "-.")[earlier % 3], "linewidth": 1.5, "label": label, "gid": "theory"}
    if np.ndim(y) == 0:
        ax.axhline(float(y), zorder=3, **look)
    elif np.shape(x)[:1] != np.shape(y)[:1]:
        raise ValueError(f"x and y must be of one length, or y be one number; got {np.shape(x)} and {np.shape(y)}.")
    else:
        ax.plot(x, y, zorder=3, **look)
    legend(ax)
    return ax
