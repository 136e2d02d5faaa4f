"""Figures: each function takes a table or a trace and an optional `ax`, draws on it, and returns it; none shows it."""

from asgd_lib.arguments import guard
from asgd_lib.plots.classes import partition
from asgd_lib.plots.counts import delay_histogram, share_of_work
from asgd_lib.plots.curves import convergence, prediction
from asgd_lib.plots.live import explore
from asgd_lib.plots.profiles import heatmap, profiles
from asgd_lib.plots.standing import standing
from asgd_lib.plots.style import looks, style
from asgd_lib.plots.sweeps import lr_curve, scaling
from asgd_lib.plots.timeline import gantt
from asgd_lib.plots.verdicts import intervals

__all__ = [
    "convergence", "delay_histogram", "explore", "gantt", "heatmap", "intervals", "looks", "lr_curve", "partition", "prediction",
    "profiles", "scaling", "share_of_work", "standing", "style",
]  # fmt: skip

guard(__name__, costly=True)
