"""Figures to play with: sliders where a reader can drag them, one still picture everywhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from asgd_lib.checks import inside

_STEPS = 200  # of a slider from end to end


def is_live() -> bool:
    """Whether a reader sits before this kernel: Jupyter's servers name the session, papermill and nbval have none."""
    return "JPY_SESSION_NAME" in os.environ


def explore(draw: Callable[..., Any], **sliders: tuple[float, float, float]) -> Any:
    """Call `draw` with a slider for each argument in a live notebook, and once, at the sliders' starts, elsewhere.

    `sliders`: argument of `draw` -> (start, least, most). `draw` shows its figure itself and may print. Needs ipywidgets
    in a live notebook; the box of sliders is displayed and returned. ValueError for a start outside its ends.
    """
    for name, (start, least, most) in sliders.items():
        inside(name, start, least, most)
    if not is_live():
        draw(**{name: start for name, (start, _, _) in sliders.items()})
        return None
    from IPython.display import display
    from ipywidgets import FloatSlider, Layout, interactive

    wide = {"style": {"description_width": "initial"}, "layout": Layout(width="32em")}
    bars = {
        name: FloatSlider(value=start, min=least, max=most, step=(most - least) / _STEPS, description=name.replace("_", " "), **wide)
        for name, (start, least, most) in sliders.items()
    }
    box = interactive(draw, **bars)
    display(box)
    return box
