"""Ticks of logarithmic axes: enough of them to read a number off, also where the axis spans less than a decade."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, LogLocator, MaxNLocator, NullFormatter

_FACTOR_3, _TWO_DECADES = 0.5, 2.0  # in decades
_FEW, _MANY = (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)  # three or more in any decade, in any half decade


class LogTicks(LogLocator):
    """Ticks at powers of ten; at 1, 2, 5, 10, ... below two decades, more below one; evenly spaced below a factor of three."""

    def tick_values(self, vmin: float, vmax: float) -> np.ndarray:
        low, high = sorted((vmin, vmax))
        decades = math.log10(high / low) if low > 0 else math.inf
        if decades >= _TWO_DECADES:
            return super().tick_values(vmin, vmax)
        if decades < _FACTOR_3:
            ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3).tick_values(low, high)
        else:
            first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
            digits = _MANY if decades < 1 else _FEW
            ticks = np.array([digit * 10.0**power for power in range(first, last + 1) for digit in digits])
        return ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))]


class LogLabels(Formatter):
    """Plain numbers from 0.001 to 9999 on axes of less than two decades, else powers of ten."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        if value <= 0:
            return ""
        low, high = sorted(self.axis.get_view_interval())
        if low > 0 and math.log10(high / low) < _TWO_DECADES and 1e-3 <= value < 1e4:
            return f"{value:.4g}"
        power = math.floor(math.log10(value) + 1e-9)
        digits = f"{value / 10.0**power:.4g}"
        return rf"$\mathdefault{{10^{{{power}}}}}$" if digits == "1" else rf"$\mathdefault{{{digits}\times 10^{{{power}}}}}$"


def scale(ax: Axes, logx: bool, logy: bool) -> None:
    """Make each axis logarithmic, with these ticks and labels, or linear; a value of 0 leaves a logarithmic one downward and no gap."""
    for axis, set_scale, log in ((ax.xaxis, ax.set_xscale, logx), (ax.yaxis, ax.set_yscale, logy)):
        set_scale("log" if log else "linear")
        if log:
            log_ticks(axis)


def log_ticks(axis: Axis) -> None:
    """Give a logarithmic axis these ticks and labels; call it after `set_xscale` or `set_yscale`, which reset them."""
    axis.set_major_locator(LogTicks())
    axis.set_major_formatter(LogLabels())
    axis.set_minor_formatter(NullFormatter())
    if min(axis.get_view_interval()) <= 0 and not math.isfinite(axis.get_minpos()):
        axis.set_view_interval(1.0, 10.0, ignore=True)  # every run diverged: limits of a linear axis are left, and drawing would raise
