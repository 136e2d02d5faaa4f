"""Contests: performance profiles, and who is how far from the best where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import NullLocator, PercentFormatter

from asgd_lib.plots.style import axes, caption, legend, look_of
from asgd_lib.plots.style import looks as _looks

MARKS: Mapping[str, str] = {"diverged": "D", "stalled": "S", "levelled off": "L", "too slow": "T"}
"""The letter of each way to fail."""


def profiles(
    ratios: pd.DataFrame,
    highlight: Sequence[str],
    *,
    most: float = 32.0,
    looks: dict[Any, dict[str, Any]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw performance profiles: the share of scenarios in which a method is within a factor of the best, against the factor.

    `ratios`: scenarios x methods, time over the scenario's best, inf where a method never arrives. The methods of `highlight` get a colour
    and an entry in the legend, in their order at `most`; the others are thin grey lines. A line ends at the share in which a method
    arrives at all, as far as `most` shows it. ValueError for a name that `ratios` has not got.
    """
    unknown = [name for name in highlight if name not in ratios]
    if unknown:
        raise ValueError(f"ratios has no method {unknown[0]!r}; it has {', '.join(map(str, ratios.columns))}.")
    _above_1(most)
    ax = axes(ax, width=8.2, height=4.2)
    given = looks or _looks(highlight)
    for name in ratios.columns.difference(highlight, sort=False):
        ax.step(*_steps(ratios[name], most), where="post", color="0.82", linewidth=0.8, zorder=1)
    for name in sorted(highlight, key=lambda name: -float((ratios[name] <= most).mean())):
        look = look_of(name, given)
        ax.step(*_steps(ratios[name], most), where="post", label=name, zorder=3, color=look["color"], linestyle=look["linestyle"])
    ax.set_xscale("log", base=2)
    ticks = 2.0 ** np.arange(0, np.floor(np.log2(most)) + 1)
    ax.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set(xlim=(1, most), ylim=(0, 1.02), xlabel="within this factor of the fastest", ylabel="share of scenarios")
    legend(ax)
    others = ratios.shape[1] - len(highlight)
    caption(ax, f"{len(ratios)} scenarios" + (f"; grey: {others} other methods" if others else ""))
    return ax


def _above_1(most: float) -> None:
    if not 1 < most < np.inf:
        raise ValueError(f"most must be a finite factor above 1; got {most!r}.")


def _steps(ratio: pd.Series, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of one profile, from 1 to `most`."""
    inside = np.sort(ratio[ratio <= most].to_numpy(float))
    at = np.concatenate([[1.0], inside, [most]])
    return at, np.array([np.count_nonzero(inside <= factor * (1 + 1e-12)) for factor in at]) / len(ratio)


def heatmap(
    ratios: pd.DataFrame, outcomes: pd.DataFrame, *, most: float = 16.0, groups: Sequence[int] = (), ax: Axes | None = None
) -> Axes:
    """Draw methods (rows) by scenarios (columns): the darker, the longer the time to target over the scenario's best, on a log scale.

    `ratios` and `outcomes` are scenarios x methods; the rows' names are joined from the levels of the index. A letter on white says that a
    method never arrives, and why (MARKS); numbers are written where the ratio is 1.95 or more. White lines part `groups`, the positions
    of columns before which they are drawn.
    """
    _above_1(most)
    if outcomes.shape != ratios.shape:
        raise ValueError(f"outcomes must have the shape of ratios, {ratios.shape}; got {outcomes.shape}.")
    values = ratios.to_numpy(float).T
    rows, columns = values.shape
    ax = axes(ax, width=2.6 + 0.36 * columns, height=1.7 + 0.2 * rows)
    shade = plt.get_cmap("cividis_r").copy()
    shade.set_bad("white")
    shown = np.where(np.isfinite(values), np.clip(values, 1.0, most), np.nan)
    image = ax.pcolormesh(np.ma.masked_invalid(shown), cmap=shade, norm=LogNorm(1.0, most), rasterized=True)
    for i, j in np.ndindex(rows, columns):
        if not np.isfinite(values[i, j]):
            ax.text(j + 0.5, i + 0.5, MARKS[outcomes.iat[j, i]], ha="center", va="center", fontsize="x-small", color="0.35")
        elif values[i, j] >= 1.95:
            dark = np.log(values[i, j]) > 0.55 * np.log(most)
            text = f"{values[i, j]:.0f}" if values[i, j] >= 9.95 else f"{values[i, j]:.1f}"
            ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize="xx-small", color="white" if dark else "black")
    for place in groups:
        ax.axvline(place, color="black", linewidth=1.2)
    ax.set_xticks(np.arange(columns) + 0.5, [_label(key) for key in ratios.index], rotation=90, fontsize="small")
    ax.set_yticks(np.arange(rows) + 0.5, list(ratios.columns), fontsize="small")
    ax.set(ylim=(rows, 0))
    ax.grid(False)
    ax.tick_params(length=0)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.01, fraction=0.025, aspect=40, label="time to target over the fastest")
    ticks = [2.0**k for k in range(int(np.log2(most)) + 1)]
    bar.ax.minorticks_off()
    bar.set_ticks(ticks, labels=[f"{tick:g}x" for tick in ticks[:-1]] + [f"{ticks[-1]:g}x and more"])
    caption(ax, "never arrives: " + ", ".join(f"{mark} {why}" for why, mark in MARKS.items()))
    return ax


def _label(key: Any) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
