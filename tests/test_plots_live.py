"""Sliders: with a reader before the kernel they move the figure, without one there is one still picture."""

from __future__ import annotations

import IPython.display
import pytest

from asgd_lib import plots


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, in a live notebook."""
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/00_start_here.ipynb")
    things = []
    monkeypatch.setattr(IPython.display, "display", things.append)
    return things


def test_without_a_reader_the_figure_is_drawn_once_at_the_start(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    calls = []
    assert plots.explore(lambda seconds: calls.append(seconds), seconds=(11.0, 1.0, 60.0)) is None
    assert calls == [11.0]


def test_with_a_reader_the_slider_draws_anew(shown):
    calls = []
    box = plots.explore(lambda seconds: calls.append(seconds), seconds=(11.0, 1.0, 60.0))
    slider = box.children[0]
    assert shown == [box] and (slider.value, slider.min, slider.max) == (11.0, 1.0, 60.0)
    box.update()
    slider.value = 30.0
    assert calls[-1] == pytest.approx(30.0, abs=slider.step)


def test_a_start_outside_the_ends_is_refused():
    with pytest.raises(ValueError, match=r"seconds must be in \[1, 60\]"):
        plots.explore(print, seconds=(0.5, 1.0, 60.0))
