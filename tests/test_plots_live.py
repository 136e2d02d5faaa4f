"""Sliders: with a reader before the kernel they move the figure, without one there is one still picture."""

from __future__ import annotations

import pytest

from asgd_lib import plots


def test_without_a_reader_the_figure_is_drawn_once_at_the_start(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    calls = []
    assert plots.explore(lambda seconds: calls.append(seconds), seconds=(11.0, 1.0, 60.0)) is None
    assert calls == [11.0]


def test_with_a_reader_the_slider_draws_anew(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/00_start_here.ipynb")
    calls = []
    box = plots.explore(lambda seconds: calls.append(seconds), seconds=(11.0, 1.0, 60.0))
    slider = box.children[0]
    assert (slider.value, slider.min, slider.max, slider.step) == (11.0, 1.0, 60.0, 0.1)
    box.update()
    slider.value = 30.0
    assert calls[0] == 11.0 and calls[-1] == 30.0


def test_a_start_outside_the_ends_is_refused():
    with pytest.raises(ValueError, match=r"seconds must be in \[1, 60\]"):
        plots.explore(print, seconds=(0.5, 1.0, 60.0))
