"""Who computed when: one bar a gradient, one row a worker."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from asgd_lib.plots.style import axes, caption
from asgd_lib.trace import Trace

_NUMBERS = 60  # bars, above which the delays written into them would overlap: a colour bar stands for them
_NAMES = 25  # workers, above which not every one is named
# The palest shade of the map is nearly white and its darkest nearly black: use what lies between.
_COLOURS = LinearSegmentedColormap.from_list("delay", mpl.colormaps["YlGnBu"](np.linspace(0.12, 0.88, 64)))
_LOST = {"facecolor": "0.96", "edgecolor": "0.45", "hatch": "////", "linewidth": 0.6}


def gantt(trace: Trace, first: int = 12, ax: Axes | None = None) -> Axes:
    """Draw the jobs of each worker until arrival number `first`; a bar's colour and number are the delay it arrives with.

    The delay is counted in arrivals (row index - read). All bars are cut off where the picture ends; one that is cut
    arrives later and has the delay that it will have then. Jobs that never arrived are hatched.
    """
    if len(trace) == 0:
        raise ValueError("The trace has no arrivals to draw.")
    if first < 1:
        raise ValueError(f"first must be at least 1 arrival; got {first!r}.")
    horizon = float(trace.end[min(first, len(trace)) - 1])
    shown = np.flatnonzero((trace.start < horizon) & (trace.end > trace.start))
    lost = trace.lost[trace.lost["start"] < horizon]
    ax = axes(ax, height=min(1.5 + 0.33 * trace.n, 7.0))

    delays = trace.delays[shown]
    norm = Normalize(0, max(int(delays.max(initial=0)), 1))
    fills = _COLOURS(norm(delays))
    right = np.minimum(trace.end[shown], horizon)
    ax.barh(
        trace.worker[shown], right - trace.start[shown], left=trace.start[shown], height=0.74, color=fills,
        edgecolor="white", linewidth=0.8,
    )  # fmt: skip
    if len(shown) <= _NUMBERS:
        _number(ax, trace, shown, fills, horizon)
        caption(ax, "number and colour: delay in arrivals" + ("; hatched: did not arrive" if len(lost) else ""))
    else:
        bar = ax.figure.colorbar(ScalarMappable(norm, _COLOURS), ax=ax, pad=0.02, ticks=MaxNLocator(6, integer=True))
        bar.set_label("delay (arrivals)")
        bar.outline.set_visible(False)
        if len(lost):
            where = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2, "frameon": False}
            ax.legend(handles=[Patch(**_LOST, label="did not arrive")], **where)
    ax.barh(lost["worker"], np.minimum(lost["end"], horizon) - lost["start"], left=lost["start"], height=0.74, **_LOST)
    ax.set(xlim=(0, horizon if horizon > 0 else 1), ylim=(trace.n - 0.5, -0.5), xlabel="time (s)", ylabel="worker")
    ax.yaxis.set_major_locator(MaxNLocator(_NAMES, integer=True, steps=[1, 2, 5, 10]))
    ax.grid(False, axis="y")
    return ax


def _number(ax: Axes, trace: Trace, shown: np.ndarray, fills: np.ndarray, horizon: float) -> None:
    """Write each delay into its bar, where the bar is wide enough, in black or white as its colour asks."""
    for row, fill in zip(shown, fills, strict=True):
        left, right = trace.start[row], min(trace.end[row], horizon)
        text = str(trace.delays[row])
        if right - left > 0.016 * len(text) * horizon:
            bright = fill[:3] @ (0.299, 0.587, 0.114)
            ink = "black" if bright > 0.55 else "white"
            ax.text((left + right) / 2, trace.worker[row], text, ha="center", va="center", fontsize="small", color=ink)
