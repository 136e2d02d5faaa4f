"""A claim against its measurements, condition by condition."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from asgd_lib.plots.style import PALETTE, axes, caption, span
from asgd_lib.plots.ticks import log_ticks
from asgd_lib.verdicts import REPRODUCED, Verdict


def intervals(verdict: Verdict, xlabel: str, log: bool = False, ax: Axes | None = None) -> Axes:
    """Draw the measured interval of each condition of `Claim.check_all` over the shaded region that the claim demands.

    Filled dots lie in the region with their whole interval, open ones do not; a condition that gave no finite number
    has it in words, an interval without an end runs out of the picture. A verdict without conditions is drawn alone.
    """
    rows = verdict.conditions or ((verdict.claim.id, verdict),)
    claim = verdict.claim
    ax = axes(ax, height=1.2 + 0.32 * len(rows))
    ends = [value for _, one in rows for value in (one.low, one.high)] + [claim.low, claim.high]
    finite = np.array([value for value in ends if math.isfinite(value)])
    if log and (finite <= 0).any():
        raise ValueError(f"A logarithmic axis needs ends above 0; the least is {finite.min():g}. Use log=False.")
    scaled = np.log(finite) if log else finite
    pad = 0.07 * (np.ptp(scaled) or 1.0)
    left, right = (np.exp(end) if log else end for end in (scaled.min() - pad, scaled.max() + pad))
    ax.axvspan(max(claim.low, left), min(claim.high, right), color="0.88", zorder=0, linewidth=0)
    for end in (claim.low, claim.high):
        if math.isfinite(end):
            ax.axvline(end, color="0.35", linestyle="--", linewidth=1.1)
    for place, (_, one) in enumerate(rows):
        if not math.isfinite(one.measured):
            ax.annotate(one.shown, (0.5, place), xycoords=("axes fraction", "data"), ha="center", va="center")
            continue
        filled = PALETTE[0] if one.verdict == REPRODUCED else "white"
        drawn = np.clip([one.low, one.high], left, right)
        ax.plot(drawn, [place, place], color=PALETTE[0], linewidth=2, solid_capstyle="butt")
        ax.plot(one.measured, place, "o", color=PALETTE[0], markersize=7, markerfacecolor=filled, markeredgewidth=1.6)
    if log:
        ax.set_xscale("log")
        log_ticks(ax.xaxis)
    ax.set(xlim=(left, right), ylim=(len(rows) - 0.5, -0.5), xlabel=xlabel)
    ax.set_yticks(range(len(rows)), [label for label, _ in rows])
    ax.grid(False, axis="y")
    counts = [one.seeds for _, one in rows if one.seeds]
    level = max((100 * one.claim.level for _, one in rows if one.seeds), default=None)
    bare = ", points alone: exact" if level and len(counts) < len(rows) else ""
    caption(ax, "shaded: expected" + (f"; lines: {level:.4g} % intervals, {span(counts)} samples each{bare}" if level else ""))
    return ax
