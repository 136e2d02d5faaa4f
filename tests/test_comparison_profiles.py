"""What is read off a contest: profiles, rankings, tables to choose by, and their figures, on made-up times."""

import io
import math

import matplotlib

matplotlib.use("Agg")
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402

from asgd_lib import plots  # noqa: E402
from asgd_lib.comparison import OUTCOMES, profiles  # noqa: E402
from asgd_lib.plots.profiles import MARKS  # noqa: E402

INF = math.inf
# scenario -> method -> seconds, seed by seed
TIMES = {
    "even": {"a": [10, 12, 11], "b": [20, 22, 21], "c": [11, 11, 11]},
    "slow": {"a": [5, 5, 5], "b": [50, INF, 60], "c": [INF, INF, 8]},
    "dead": {"a": [INF] * 3, "b": [INF] * 3, "c": [INF] * 3},
}
WHY = {
    ("slow", "b"): "too slow",
    ("slow", "c"): "levelled off",
    ("dead", "a"): "stalled",
    ("dead", "b"): "diverged",
    ("dead", "c"): "too slow",
}


pytestmark = pytest.mark.usefixtures("house_style")


@pytest.fixture
def table():
    rows = [
        ("quadratic", "iid", cluster, method, 0.1, (cluster, method) == ("slow", "b"), seed, float(t), WHY.get((cluster, method)), 2.0)
        for cluster, methods in TIMES.items()
        for method, times in methods.items()
        for seed, t in enumerate(times)
    ]
    return pd.DataFrame(
        rows, columns=["problem", "split", "cluster", "method", "lr", "edge", "seed", "seconds", "outcome", "level"]
    ).assign(outcome=lambda rows: rows["outcome"].where(np.isinf(rows["seconds"]), "reached"))


def test_seconds_are_medians_over_seeds_and_failures_count(table):
    times = profiles.seconds(table).droplevel([0, 1])
    assert times.loc["even"].tolist() == [11, 21, 11]
    assert times.loc["slow"].tolist() == [5, 60, INF]
    assert list(times.index) == ["even", "slow", "dead"] and list(times) == ["a", "b", "c"]


def test_the_median_of_an_even_number_of_seeds_is_the_later_one(table):
    two = table[table["seed"] < 2]
    assert profiles.seconds(two).droplevel([0, 1]).loc["slow"].tolist() == [5, INF, INF]


def test_ratios_are_to_the_best_and_nobody_is_near_where_nobody_arrives(table):
    ratio = profiles.ratios(profiles.seconds(table)).droplevel([0, 1])
    assert ratio.loc["even"].tolist() == pytest.approx([1, 21 / 11, 1])
    assert ratio.loc["slow"].tolist() == [1, 12, INF]
    assert ratio.loc["dead"].tolist() == [INF] * 3


def test_profiles_by_hand(table):
    ratio = profiles.ratios(profiles.seconds(table))
    shares = profiles.profile(ratio, [1, 2, 12])
    assert shares["a"].tolist() == pytest.approx([2 / 3] * 3)
    assert shares["b"].tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    assert shares["c"].tolist() == pytest.approx([1 / 3] * 3)
    with pytest.raises(ValueError, match="factors must be"):
        profiles.profile(ratio, [0])


def test_profiles_by_seed_take_each_seed_for_itself(table):
    shares = profiles.by_seed(table, 1.0)
    assert shares["a"].tolist() == pytest.approx([2 / 3, 1 / 3, 2 / 3])  # with seed 1, c is faster on even speeds
    assert shares["c"].tolist() == pytest.approx([0, 1 / 3, 1 / 3])


def test_outcomes_agree_with_seconds(table):
    what, times = profiles.outcomes_of(table), profiles.seconds(table)
    assert ((what == "reached") == np.isfinite(times)).all(axis=None)
    assert what.droplevel([0, 1]).loc["slow"].tolist() == ["reached", "reached", "levelled off"]


def test_ranking_counts_failures_and_edges(table):
    rows = profiles.ranking(table)
    assert list(rows.index) == ["a", "b", "c"]
    assert rows.loc["a", ["first", "near", "reached"]].tolist() == pytest.approx([2 / 3] * 3)
    assert rows["edge"].to_dict() == {"a": 0, "b": 1, "c": 0}
    assert rows[list(profiles.FAILURES)].sum(axis=1).to_dict() == {"a": 1, "b": 1, "c": 2}
    assert rows.loc["c", "levelled off"] == 1 and rows.loc["b", "diverged"] == 1


def test_guide_names_who_is_near_and_who_fails(table):
    rows = profiles.guide(table, take=1.25).set_index("cluster")
    assert rows.loc["even", "take"] == "a 1.00, c 1.00" and rows.loc["even", "seconds"] == 11
    assert rows.loc["slow", "take"] == "a 1.00" and rows.loc["slow", "levelled off"] == "c"
    assert rows.loc["dead", "take"] == "nobody" and math.isinf(rows.loc["dead", "seconds"])
    assert profiles.guide(table, take=3, most=1).set_index("cluster").loc["even", "take"] == "a 1.00 and 2 more"


def test_wins_and_failures_of_each_method(table):
    rows = profiles.wins_and_failures(table).set_index("method")
    assert rows.loc["b", "near the best"] == "nowhere" and rows.loc["b", "fails"] == "quadratic iid: dead (diverged)"
    assert rows.loc["a", "near the best"] == "quadratic iid: even, slow"
    assert rows.loc["c", "fails"] == "quadratic iid: slow (levelled off), dead (too slow)"


def test_versus_is_seed_by_seed_with_infinities_and_no_number_where_both_fail(table):
    assert profiles.versus(table, "b", "a", cluster="slow").tolist() == [10, INF, 12]
    assert profiles.versus(table, "a", "c", cluster="slow").tolist() == [0, 0, 0.625]
    assert np.isnan(profiles.versus(table, "a", "b", cluster="dead")).all()
    assert profiles.share_reached(table, "c", cluster=["even", "slow"]).tolist() == [0.5, 0.5, 1.0]
    with pytest.raises(ValueError, match="several scenarios"):
        profiles.samples(table, "a")
    with pytest.raises(ValueError, match="no row with method = 'd'"):
        profiles.samples(table, "d")


def test_profile_figure_shows_the_shares(table):
    ratio = profiles.ratios(profiles.seconds(table))
    ax = plots.profiles(ratio, ["a", "b"], most=16)
    line = {line.get_label(): line for line in ax.get_lines()}
    x, y = line["b"].get_data()
    assert list(x) == pytest.approx([1, 21 / 11, 12, 16]) and list(y) == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert len(ax.get_lines()) == 3, "the third method is there, in grey"
    with pytest.raises(ValueError, match="no method 'd'"):
        plots.profiles(ratio, ["d"])


def test_heat_map_marks_every_failure_and_writes_large_ratios(table):
    ax = plots.heatmap(profiles.ratios(profiles.seconds(table)), profiles.outcomes_of(table))
    at = {(round(t.get_position()[0] - 0.5), round(t.get_position()[1] - 0.5)): t.get_text() for t in ax.texts}
    assert at == {(1, 1): "12", (1, 2): "L", (2, 0): "S", (2, 1): "D", (2, 2): "T"}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
    shown = ax.collections[0].get_array().reshape(3, 3)
    assert shown[0].tolist()[:2] == [1, 1] and shown.mask.tolist() == [[False, False, True], [False, False, True], [False, True, True]]


def test_every_failure_has_a_letter_of_its_own():
    assert tuple(MARKS) == profiles.FAILURES == tuple(name for name in OUTCOMES if name != "reached")
    assert len(set(MARKS.values())) == len(MARKS)


def test_figures_are_the_same_bytes_each_time(table):
    def picture():
        buffer = io.BytesIO()
        ratio, what = profiles.ratios(profiles.seconds(table)), profiles.outcomes_of(table)
        plots.heatmap(ratio, what, groups=[1]).figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    assert picture() == picture()
