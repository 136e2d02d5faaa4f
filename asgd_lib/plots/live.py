"""Figures to play with: sliders where a reader can drag them, one still picture everywhere else."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from asgd_lib.checks import inside


def is_live() -> bool:
    """Whether a reader sits before this kernel: Jupyter's servers name the session, papermill and nbval have none."""
    return "JPY_SESSION_NAME" in os.environ


def explore(draw: Callable[..., Any], **sliders: tuple[float, float, float]) -> Any:
    """Call `draw` with a slider for each argument in a live notebook, and once, at the sliders' starts, elsewhere.

    `sliders`: argument of `draw` -> (start, least, most). `draw` shows its figure itself and may print. In a live notebook
    the box of sliders (ipywidgets) is returned: let the call be a cell's last line. ValueError for a start outside its ends.
    """
    for name, (start, least, most) in sliders.items():
        inside(name, start, least, most)
    if not is_live():
        draw(**{name: start for name, (start, _, _) in sliders.items()})
        return None
    from ipywidgets import FloatSlider, Layout, interactive

    wide = {"style": {"description_width": "initial"}, "layout": Layout(width="32em")}
    bars = {
        name: FloatSlider(value=start, min=least, max=most, step=_step(most - least), description=name.replace("_", " "), **wide)
        for name, (start, least, most) in sliders.items()
    }
    return interactive(draw, **bars)


def _step(span: float) -> float:
    """A power of ten that cuts `span` into 100 to 1,000 steps, so that round numbers can be reached."""
    return 10.0 ** math.floor(math.log10(span / 100)) if span > 0 else 1.0
