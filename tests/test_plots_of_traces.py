"""Figures of traces and partitions: each job, delay and sample is drawn where it belongs."""

import matplotlib

matplotlib.use("Agg")
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from drawn import labels, line, texts  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402

from asgd_lib import plots  # noqa: E402
from asgd_lib.trace import LOST, Trace  # noqa: E402

pytestmark = pytest.mark.usefixtures("house_style")


@pytest.fixture
def trace():
    """Two workers, 1 s and 3 s a gradient; worker 0 loses its job 3 at 2.5 s, and two jobs are under way at the end."""
    return Trace(
        n=2,
        job=[0, 2, 1, 4],
        worker=[0, 0, 1, 0],
        read=[0, 1, 0, 2],
        start=[0.0, 1.0, 0.0, 2.5],
        end=[1.0, 2.0, 3.0, 3.5],
        lost=np.array([(3, 0, 2, 2.0, 2.5), (5, 1, 3, 3.0, np.inf), (6, 0, 4, 3.5, np.inf)], LOST),
    )


def test_gantt_draws_each_job_where_and_when_it_ran(trace):
    ax = plots.gantt(trace, first=3)
    bars = sorted((round(bar.get_y() + bar.get_height() / 2, 9), bar.get_x(), bar.get_width(), bar.get_hatch()) for bar in ax.patches)
    # Until 3 s: job 4 is cut off there, job 3 is hatched; what starts at 3 s or later is not in the picture.
    assert bars == [(0, 0, 1, None), (0, 1, 1, None), (0, 2, 0.5, "////"), (0, 2.5, 0.5, None), (1, 0, 3, None)]
    assert sorted(text.get_text() for text in ax.texts) == ["0", "0", "1", "2"]  # row - read: 0, 0, 2, 1
    assert ax.get_xlim() == (0, 3) and ax.get_ylim() == (1.5, -0.5)
    assert "did not arrive" in ax.get_title(loc="right")


def test_gantt_colours_are_the_delays(trace):
    ax = plots.gantt(trace, first=4)
    shade = {bar.get_x(): np.mean(to_rgb(bar.get_facecolor())) for bar in ax.patches if not bar.get_hatch()}
    by_start = dict(zip(trace.start, trace.delays, strict=True))
    assert shade[1.0] > shade[2.5] and by_start[1.0] < by_start[2.5]


def test_gantt_of_many_bars_has_a_colour_bar_instead_of_numbers():
    rows = np.arange(100)
    many = Trace(1, rows, rows * 0, rows, rows * 1.0, rows + 1.0, lost=np.array([(100, 0, 100, 99.5, 99.7)], LOST))
    ax = plots.gantt(many, first=100)
    assert not texts(ax) and len(ax.figure.axes) == 2 and labels(ax) == ["did not arrive"]


def test_gantt_refuses_nothing_to_draw(trace):
    with pytest.raises(ValueError, match="no arrivals"):
        plots.gantt(Trace(1, [], [], [], [], []))
    with pytest.raises(ValueError, match="first"):
        plots.gantt(trace, first=0)


def test_delay_histogram_counts_each_delay(trace):
    for given in (trace, trace.delays, {"a": trace}):
        ax = plots.delay_histogram(given, {"bound": 1})
        corners = ax.patches[0].get_xy()
        heights = {x: y for x, y in corners if y > 0}
        assert [corners[:, 1][np.isclose(corners[:, 0], delay - 0.5)].max() for delay in range(3)] == [2, 2, 1], heights
        assert ax.get_yscale() == "log" and line(ax, "bound").get_xdata()[0] == 1
        assert ax.get_ylabel() == "number of arrivals"


def test_delay_histogram_uses_the_same_bins_for_all_and_says_their_width():
    ax = plots.delay_histogram({"short": np.array([0, 1, 2]), "long": np.array([0, 119])})
    assert ax.get_ylabel() == "number of arrivals per 2 delays"
    short = ax.patches[0].get_xy()
    assert short[:, 1].max() == 2  # delays 0 and 1 share a bin
    assert labels(ax) == ["short", "long"]


@pytest.mark.parametrize("delays", [[], [-1], [0.5], [[1]]])
def test_delay_histogram_refuses_what_is_no_delay(delays):
    with pytest.raises(ValueError, match="Delays must be those of traces|must be a Trace or a list"):
        plots.delay_histogram(delays)


def test_share_of_work_sums_to_one(trace):
    ax = plots.share_of_work(trace)
    assert [bar.get_height() for bar in ax.patches] == [0.75, 0.25]
    assert line(ax, "even share $1/n$").get_ydata()[0] == 0.5
    with pytest.raises(ValueError, match="no arrivals to count"):
        plots.share_of_work(Trace(2, [], [], [], [], []))


def test_partition_counts_classes_by_worker():
    ax = plots.partition([[0, 1, 2], np.array([3, 4])], np.array([0, 0, 2, 1, 1]))
    np.testing.assert_array_equal(ax.images[0].get_array().filled(0), [[2, 0], [0, 2], [1, 0]])
    assert ax.images[0].get_array().mask.sum() == 3  # empty cells are white
    assert texts(ax) == {"2", "1", ""}
    assert not texts(plots.partition([[0]] * 200, np.array([0])))
    with pytest.raises(ValueError, match="whole numbers"):
        plots.partition([[0]], np.array([0.5]))
