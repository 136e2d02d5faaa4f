"""How often: delays, and each worker's share of the work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from asgd_lib.agreement import Delays, delays_of
from asgd_lib.plots.style import PALETTE, axes, legend
from asgd_lib.trace import Trace

_BINS = 60
_OUTLINES = ("-", "--", "-.", ":")
# The first mark is broad and grey, so that another at the same delay can be seen on it.
_MARKS = (("0.6", "-", 3.5), ("black", "--", 1.4), ("black", ":", 1.6), ("black", "-.", 1.4))


def delay_histogram(trace: Delays | Mapping[str, Delays], lines: Mapping[str, float] | None = None, ax: Axes | None = None) -> Axes:
    """Count the arrivals of each delay, on a logarithmic scale; `lines` maps labels to delays that are marked.

    `trace`: a trace, its delays (E,) in arrivals, a list of traces, whose arrivals are pooled, or a dict that maps labels to such: all are
    counted in the same bins.
    A bin is one delay, or an equal run of them where there are more than 60; the vertical axis says so.
    """
    series = trace if isinstance(trace, Mapping) else {None: trace}
    counted = {label: delays_of(one) for label, one in series.items()}
    most = max(int(delays.max()) for delays in counted.values())
    ax = axes(ax)
    width = -(-(most + 1) // _BINS)
    edges = np.arange(0, most + 1 + width, width) - 0.5
    for i, (label, delays) in enumerate(counted.items()):
        colour = PALETTE[i % len(PALETTE)]
        outline = {"facecolor": (colour, 0.3), "edgecolor": colour, "linewidth": 1.4, "linestyle": _OUTLINES[i % 4]}
        ax.hist(delays, edges, histtype="stepfilled", label=label, **outline)
    for i, (name, value) in enumerate((lines or {}).items()):
        colour, dashes, thickness = _MARKS[i % 4]
        ax.axvline(value, color=colour, linestyle=dashes, linewidth=thickness, label=name)
    top = max(np.histogram(delays, edges)[0].max() for delays in counted.values())
    ax.set_yscale("log")
    ax.set_ylim(0.5, 2.0 * top)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top < 200 else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}" if number >= 1 else ""))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set(xlabel="delay (arrivals)", ylabel="number of arrivals" + (f" per {width} delays" if width > 1 else ""))
    legend(ax)
    return ax


def share_of_work(trace: Trace, ax: Axes | None = None) -> Axes:
    """Draw each worker's share of all arrivals, and the even share 1/n."""
    if len(trace) == 0:
        raise ValueError("The trace has no arrivals to count.")
    ax = axes(ax)
    shares = np.bincount(trace.worker, minlength=trace.n) / len(trace)
    ax.bar(np.arange(trace.n), shares, width=0.8 if trace.n <= 60 else 1.0, color=PALETTE[0], linewidth=0)
    ax.axhline(1 / trace.n, color="black", linestyle="--", linewidth=1.4, label="even share $1/n$")
    ax.set(xlabel="worker", ylabel="share of the arrivals", xlim=(-0.6, trace.n - 0.4))
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(False, axis="x")
    legend(ax)
    return ax
