"""Can a figure be read: ticks on short logarithmic axes, colours without colour vision, letters at column width."""

from __future__ import annotations

import itertools

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402

from asgd_lib import plots  # noqa: E402
from asgd_lib.claims import Claim  # noqa: E402
from asgd_lib.plots.style import PALETTE  # noqa: E402
from asgd_lib.plots.ticks import log_ticks  # noqa: E402

# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB.
DICHROMACIES = {
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
COLUMN = 3.3  # inches, of a page with two columns


def labelled(axis) -> list[tuple[float, str]]:
    """Ticks inside the view that have a label."""
    low, high = sorted(axis.get_view_interval())
    places = axis.get_majorticklocs()
    ticks = zip(places, axis.get_major_formatter().format_ticks(places), strict=True)
    return [(place, text) for place, text in ticks if low <= place <= high and text]


@pytest.fixture(scope="module")
def logarithmic():
    _, ax = plt.subplots()
    ax.set_xscale("log")
    log_ticks(ax.xaxis)
    yield ax
    plt.close("all")


@given(st.floats(1e-9, 1e6), st.floats(1.02, 99))
def test_a_short_logarithmic_axis_has_three_numbers_or_more(logarithmic, low, factor):
    logarithmic.set_xlim(low, low * factor)
    shown = labelled(logarithmic.xaxis)
    assert 3 <= len(shown) <= 8
    assert len({text for _, text in shown}) == len(shown), f"two ticks have one label: {shown}"


@pytest.mark.parametrize("limits, expected", [
    ((0.9, 2.1), ["1", "1.25", "1.5", "1.75", "2"]), ((0.03, 0.6), ["0.05", "0.1", "0.2", "0.5"]), ((3, 80), ["5", "10", "20", "50"]),
    ((9.5e-8, 1.27e-7), [rf"$\mathdefault{{{digits}10^{{-7}}}}$" for digits in ("", r"1.1\times ", r"1.2\times ")]),
    ((1, 1e4), [rf"$\mathdefault{{10^{{{power}}}}}$" for power in range(5)]),
])  # fmt: skip
def test_labels_are_the_numbers(logarithmic, limits, expected):
    logarithmic.set_xlim(*limits)
    assert [text for _, text in labelled(logarithmic.xaxis)] == expected


def test_intervals_and_scaling_use_them():
    verdict = Claim("C", "x", "y", low=1.0).check([1.2, 1.3, 1.4])
    ax = plots.intervals(verdict, "ratio", log=True)
    assert len(labelled(ax.xaxis)) >= 3
    ax = plots.scaling(np.arange(1, 20), {"asgd": np.linspace(1.1, 1.4, 19)}, "n", "s")
    assert len(labelled(ax.xaxis)) >= 3 and len(labelled(ax.yaxis)) >= 3
    plt.close("all")


@pytest.mark.parametrize("vision", DICHROMACIES)
def test_colours_are_told_apart_without_colour_vision(vision):
    """CIE76 distances; 2.3 is the least that is noticed where two colours touch."""
    seen = [lab(np.clip(np.array(DICHROMACIES[vision]) @ linear(colour), 0, 1)) for colour in PALETTE]
    for (i, one), (j, other) in itertools.combinations(enumerate(seen), 2):
        assert np.linalg.norm(one - other) > 8, f"{PALETTE[i]} and {PALETTE[j]}"


def linear(colour: str) -> np.ndarray:
    values = np.array(to_rgb(colour))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB, white point D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_letters_are_legible_at_column_width():
    with plt.rc_context():
        plots.style()
        _, ax = plt.subplots()
        plots.prediction(ax, [1, 2], [1, 2], "theory")
        shrunk = COLUMN / ax.figure.get_figwidth()
        texts = [ax.xaxis.label, *ax.get_xticklabels(), *ax.get_legend().get_texts()]
        assert min(text.get_fontsize() for text in texts) * shrunk >= 5.0, "points, where a figure fills a column"
    plt.close("all")
