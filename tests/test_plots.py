"""Figures: what is drawn is what the table or the trace says, nothing is dropped in silence, the same bytes each time."""

import io
import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
from drawn import labels, line, texts  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402

from asgd_lib import plots  # noqa: E402
from asgd_lib.claims import Claim  # noqa: E402
from asgd_lib.intervals import interval  # noqa: E402
from asgd_lib.trace import Trace  # noqa: E402

pytestmark = pytest.mark.usefixtures("house_style")


def history(values, status=None, lrs=None):
    """{(method, lr, seed): losses at arrivals 0, 10, ...}, a second an arrival."""
    rows = []
    for run, ((method, lr, seed), losses) in enumerate(values.items()):
        ended = (status or {}).get((method, lr, seed), "done")
        rows += [
            {"run": run, "method": method, "lr": lr, "seed": seed, "time": 10.0 * i, "arrivals": 10 * i, "updates": 5 * i,
             "used": 10 * i, "loss": loss, "grad_norm_sq": loss**2, "status": ended}
            for i, loss in enumerate(losses)
        ]  # fmt: skip
    return pd.DataFrame(rows)


TWO = history({("asgd", 0.1, s): [1.0, 0.5 + 0.1 * s**2, 0.2 + 0.1 * s**2] for s in range(3)} | {("dude", 0.1, 0): [1.0, 0.1, 0.01]})


@pytest.mark.parametrize("logy", [True, False])
def test_convergence_draws_the_median_and_the_range(logy):
    ax = plots.convergence(TWO, logy=logy)
    np.testing.assert_allclose(line(ax, "asgd").get_xydata(), [[0, 1], [10, 0.6], [20, 0.3]])
    corners = {tuple(corner) for corner in np.round(ax.collections[0].get_paths()[0].vertices, 12)}
    assert {(10, 0.5), (10, 0.9), (20, 0.2), (20, 0.6)} <= corners
    assert len(ax.collections) == 1  # one seed of dude has no band
    assert ax.get_title(loc="right") == "median and range, 1 to 3 seeds"
    assert labels(ax) == ["asgd", "dude"]


@pytest.mark.parametrize("logy", [True, False])
def test_convergence_can_draw_the_mean_and_its_interval(logy):
    ax = plots.convergence(TWO, x="updates", band="t", logy=logy)
    mean, low, high = interval([0.5, 0.6, 0.9], log=logy)
    np.testing.assert_allclose(line(ax, "asgd").get_xydata()[1], [5, mean])
    corners = ax.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(sorted(set(corners[corners[:, 0] == 5][:, 1])), [low, high])
    assert ("geometric" in ax.get_title(loc="right")) == logy and "95 % interval" in ax.get_title(loc="right")


def test_a_line_ends_where_a_seed_diverged_and_its_label_says_so():
    table = history({("asgd", 0.1, 0): [1.0, 3.0], ("asgd", 0.1, 1): [1.0, 0.5, 0.2]}, {("asgd", 0.1, 0): "diverged"})
    ax = plots.convergence(table)
    assert line(ax, "asgd (1 of 2 diverged)").get_xdata().tolist() == [0, 10]
    cross = next(one for one in ax.lines if one.get_marker() == "x")
    assert cross.get_xydata().tolist() == [[10, 1.75]]


def test_a_method_without_any_common_checkpoint_still_stands_in_the_legend():
    table = history({("asgd", 0.1, 0): [math.nan], ("asgd", 0.1, 1): [1.0]}, {("asgd", 0.1, 0): "diverged"})
    assert labels(plots.convergence(table)) == ["asgd (1 of 2 diverged)"]


def test_where_clocks_differ_a_checkpoint_is_drawn_at_its_mean_time():
    table = history({("asgd", 0.1, s): [1.0, 0.5] for s in range(2)})
    table.loc[(table["seed"] == 1) & (table["arrivals"] == 10), "time"] = 30.0
    assert line(plots.convergence(table), "asgd").get_xdata().tolist() == [0, 20]


def test_convergence_refuses_to_mix_step_sizes():
    table = history({("asgd", lr, 0): [1.0, 0.5] for lr in (0.1, 0.2)})
    with pytest.raises(ValueError, match="'asgd' has 2 runs for one seed"):
        plots.convergence(table)
    assert labels(plots.convergence(table, hue="lr")) == ["0.1", "0.2"]


def test_a_loss_of_exactly_zero_breaks_no_logarithmic_figure():
    ax = plots.convergence(history({("asgd", 0.1, 0): [1.0, 0.1, 0.0], ("asgd", 0.1, 1): [1.0, 0.1, 0.0]}))
    ax.figure.canvas.draw()
    assert 0 < ax.get_ylim()[0] < 0.1


@pytest.mark.parametrize(("keywords", "says"), [({"band": "sd"}, "band"), ({"y": "accuracy"}, "no column 'accuracy'"),
                                                ({"looks": {"asgd": {}}}, "looks has no entry for 'dude'")])  # fmt: skip
def test_convergence_refuses(keywords, says):
    with pytest.raises(ValueError, match=says):
        plots.convergence(history({("dude", 0.1, 0): [1.0]}), **keywords)


def test_prediction_is_dashed_black_and_last_in_the_legend():
    _, ax = plt.subplots()
    plots.prediction(ax, [1, 2], [3, 4], "theory")
    plots.convergence(TWO, ax=ax)
    plots.prediction(ax, None, 0.05, "floor")
    assert labels(ax) == ["asgd", "dude", "theory", "floor"]
    assert to_hex(line(ax, "theory").get_color()) == "#000000"
    assert [line(ax, name).get_linestyle() for name in ("theory", "floor")] == ["--", ":"]
    assert line(ax, "floor").get_ydata() == [0.05, 0.05]


LRS = history(
    {("asgd", lr, s): [1.0, loss * (1 + 0.1 * s)] for lr, loss in ((0.1, 0.5), (0.2, 0.2), (0.4, 0.1)) for s in range(3)},
    {("asgd", 0.4, 1): "diverged"},
)


@pytest.mark.parametrize(("best", "at"), [("lowest", 0.2), ("highest", 0.1)])
def test_lr_curve_takes_the_last_value_and_never_a_step_size_at_which_a_seed_diverged(best, at):
    ax = plots.lr_curve(LRS, best=best)
    curve = ax.containers[0].lines[0]
    np.testing.assert_allclose(curve.get_xydata(), [[0.1, 0.55], [0.2, 0.22], [0.4, math.nan]])
    ring = next(one for one in ax.lines if one.get_markersize() == 12)
    assert ring.get_xdata().tolist() == [at]
    cross = next(one for one in ax.lines if one.get_marker() == "x")
    assert cross.get_xdata().tolist() == [0.4] and cross.get_ydata()[0] < 1
    assert ax.get_title(loc="right").startswith("median and range, 3 seeds")


def test_scaling_marks_points_that_are_no_numbers():
    ax = plots.scaling([1, 2, 4], {"asgd": [[4, 2, 1], [5, 3, math.inf], [6, 4, 1]], "dude": [1, 1, 1]}, "n", "time (s)")
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), [5, 3, math.nan])
    assert next(one for one in ax.lines if one.get_marker() == "x").get_xdata().tolist() == [4]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "4"]
    assert ax.get_title(loc="right") == "median and range, 1 to 3 seeds"
    with pytest.raises(ValueError, match="shape"):
        plots.scaling([1, 2], {"asgd": [[1, 2, 3]]}, "n", "s")


def test_a_figure_on_which_every_run_diverged_is_drawn():
    ax = plots.scaling([1, 2, 4], {"asgd": [[math.inf] * 3] * 2}, "n", "time (s)")
    ax.figure.canvas.draw()
    assert 0 < ax.get_ylim()[0] < ax.get_ylim()[1]
    plots.prediction(ax, [1, 4], [200.0, 300.0], "theory")
    ax.figure.canvas.draw()
    assert ax.get_ylim()[0] < 200 < 300 < ax.get_ylim()[1]
    lost = {("asgd", lr, 0): "diverged" for lr in (0.1, 0.2)}
    plots.lr_curve(history({run: [1.0, math.inf] for run in lost}, lost)).figure.canvas.draw()


def test_intervals_shade_the_region_and_leave_open_what_lies_outside():
    claim = Claim("C1", "x", "y", low=0.9, high=1.1)
    verdict = claim.check_all({"in": [1.0, 1.01, 0.99], "out": [1.3, 1.31], "gone": [1.0, math.nan]})
    ax = plots.intervals(verdict, "slope")
    dots = [one for one in ax.lines if one.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == pytest.approx([1.0, 1.305])
    assert [to_hex(dot.get_markerfacecolor()) == "#ffffff" for dot in dots] == [False, True]
    assert texts(ax) == {"none (diverged)"}
    assert (ax.patches[0].get_x(), ax.patches[0].get_width()) == pytest.approx((0.9, 0.2))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["in", "out", "gone"]
    assert ax.get_title(loc="right") == "shaded: expected; lines: 98.33 % intervals, 2 to 3 samples each"


def test_intervals_without_an_end_stay_in_the_picture():
    verdict = Claim("C1", "x", "y", low=1.5).check([2.0] * 5 + [math.inf])
    for log in (False, True):
        ax = plots.intervals(verdict, "ratio", log=log)
        assert np.isfinite(ax.get_xlim()).all() and ax.lines[1].get_xdata()[1] == ax.get_xlim()[1]
    with pytest.raises(ValueError, match="log=False"):
        plots.intervals(Claim("C1", "x", "y", low=-1).check_exact(2), "x", log=True)


def test_looks_differ_and_do_not_rest_on_colour_alone():
    names = list("abcdefghijklmnopqrstuvwxyz")
    looks = plots.looks(names + ["a"])
    assert list(looks) == names
    shapes = {(str(look["linestyle"]), look["marker"]) for look in looks.values()}
    assert len(shapes) == len(names)
    assert looks == plots.looks(names)


def test_figures_go_on_the_axes_given_and_open_no_other():
    trace = Trace(1, [0, 1], [0, 0], [0, 1], [0.0, 1.0], [1.0, 2.0])
    draws = (
        lambda ax: plots.gantt(trace, ax=ax),
        lambda ax: plots.delay_histogram(trace, ax=ax),
        lambda ax: plots.share_of_work(trace, ax=ax),
        lambda ax: plots.convergence(TWO, ax=ax),
        lambda ax: plots.lr_curve(LRS, ax=ax),
        lambda ax: plots.scaling([1], {"a": [[1.0]]}, "x", "y", ax=ax),
        lambda ax: plots.partition([[0]], np.array([0]), ax=ax),
        lambda ax: plots.intervals(Claim("C", "x", "y", low=1).check_exact(2), "x", ax=ax),
    )
    for draw in draws:
        _, ax = plt.subplots()
        before = len(plt.get_fignums())
        assert draw(ax) is ax
        assert len(plt.get_fignums()) == before


def test_the_same_table_gives_the_same_picture():
    pictures = []
    for _ in range(2):
        buffer = io.BytesIO()
        plots.convergence(TWO).figure.savefig(buffer, format="png", metadata={"Software": None})
        pictures.append(buffer.getvalue())
    assert pictures[0] == pictures[1]
