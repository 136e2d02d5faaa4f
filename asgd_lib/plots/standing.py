"""One method among the others, scenario by scenario."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from asgd_lib.plots.style import PALETTE, axes, caption
from asgd_lib.plots.ticks import log_ticks

_ROOM = 1.5  # the factor by which "never" lies beyond the slowest


def standing(ratios: pd.DataFrame, method: str, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the time to target over the best one's, a line a scenario: a small tick for every method, a large dot for `method`.

    `ratios`: scenarios x methods, at least 1, inf for whoever never arrives; those stand in a column of their own at the right, with the
    number of them. ValueError where `ratios` has not got the method.
    """
    if method not in ratios:
        raise ValueError(f"The table has no method {method!r}; it has {', '.join(ratios)}.")
    if labels is not None and len(labels) != len(ratios):
        raise ValueError(f"labels must be one for each of the {len(ratios)} scenarios; got {len(labels)}.")
    ax = axes(ax, height=1.3 + 0.34 * len(ratios))
    values, others = ratios[method].to_numpy(), ratios.drop(columns=method).to_numpy()
    finite = ratios.to_numpy()[np.isfinite(ratios.to_numpy())]
    never = _ROOM * max(2.0, finite.max(initial=1.0))
    rows = np.arange(len(ratios))
    shown = np.isfinite(others)
    ax.plot(
        others[shown], np.broadcast_to(rows[:, None], others.shape)[shown], "|", color="0.3", markersize=9, zorder=3, label="the others"
    )
    mine = np.where(np.isfinite(values), values, never)
    ax.plot(mine, rows, "o", color=PALETTE[0], markersize=7, label=method)
    for row, count in zip(rows, (~shown).sum(1), strict=True):
        if count:
            ax.annotate(f"{count}", (never * _ROOM**0.45, row), ha="left", va="center", color="0.35", fontsize="small")
    ax.axvline(never / _ROOM**0.5, color="0.35", linestyle=":", linewidth=1.2)
    ax.set_xscale("log")
    ax.set(xlim=(0.93, never * _ROOM**1.2), ylim=(len(ratios) - 0.5, -0.5), xlabel="time to target, over the best one's")
    log_ticks(ax.xaxis)
    ax.set_xticks([tick for tick in ax.get_xticks() if 1 <= tick < never / _ROOM**0.5] + [never], minor=False)
    ax.set_xticklabels([f"{tick:g}" for tick in ax.get_xticks()[:-1]] + ["never"])
    names = [" / ".join(map(str, np.atleast_1d(key))) for key in ratios.index] if labels is None else list(labels)
    ax.set_yticks(rows, names)
    ax.grid(False, axis="y")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    caption(ax, "medians over seeds; numbers: how many others never arrive")
    return ax
