"""How one method stands among others: by hand on a small table, and from the command line."""

import json
import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from asgd_lib.cli import asgd
from asgd_lib.commands import contest
from asgd_lib.comparison import profiles
from asgd_lib.comparison.standing import others_alike, place, standing
from asgd_lib.intervals import interval
from asgd_lib.plots.standing import standing as drawn

MINE = Path(__file__).resolve().parents[1] / "notebooks" / "my_method.py"
NEVER = math.inf
# (cluster, method) -> seconds to target, seed by seed.
TIMES = {
    ("equal", "mine"): (2.0, 4.0, 4.0), ("equal", "a"): (1.0, 2.0, 8.0), ("equal", "b"): (4.0, 4.0, 4.0),
    ("slow", "mine"): (NEVER, 9.0, NEVER), ("slow", "a"): (9.0, 9.0, 9.0), ("slow", "b"): (5.0, 20.0, 20.0),
    ("dead", "mine"): (3.0, 3.0, 3.0), ("dead", "a"): (NEVER, NEVER, NEVER), ("dead", "b"): (NEVER, NEVER, NEVER),
}  # fmt: skip


def table(times=TIMES):
    rows = [
        ("quadratic", "iid", cluster, method, 0.1, method == "b", seed, time, "reached" if time < NEVER else "too slow", 1.0)
        for (cluster, method), times in times.items()
        for seed, time in enumerate(times)
    ]
    return pd.DataFrame(rows, columns=["problem", "split", "cluster", "method", "lr", "edge", "seed", "seconds", "outcome", "level"])


def test_standing_by_hand():
    rows = standing(table(), "mine").set_index("cluster")
    assert rows["rival"].to_dict() == {"equal": "a", "slow": "a", "dead": "a"}
    assert rows.loc["equal", ["rank", "arrived", "seconds", "lr"]].tolist() == [2, 3, 4.0, 0.1]
    assert rows["over_best"].tolist() == [2.0, NEVER, 1.0]  # medians: 4 over 2, never, 3 over 3
    assert rows.loc["equal", ["ratio", "low", "high"]].tolist() == list(interval([2.0, 2.0, 0.5], log=True))
    assert math.isnan(rows.loc["slow", "rank"]) and rows.loc["slow", "ratio"] == NEVER and rows.loc["slow", "arrived"] == 1
    assert rows.loc["slow", "outcome"] == "too slow" and rows["outcome"].tolist()[::2] == ["reached"] * 2
    assert rows.loc["dead", "rank"] == 1 and math.isnan(rows.loc["dead", "ratio"])
    other = standing(table(), "b").set_index("cluster")
    assert other.loc["equal", ["rank", "ratio", "edge"]].tolist() == [2, pytest.approx(2.0 ** (2 / 3)), True]  # shares the rank with mine
    assert other.loc["dead", "rival"] == "mine" and other.loc["dead", "ratio"] == NEVER
    one = standing(table({key: times[:1] for key, times in TIMES.items()}), "mine").set_index("cluster").loc["equal"]
    assert one["ratio"] == TIMES["equal", "mine"][0] / TIMES["equal", "a"][0] and math.isnan(one["low"]) and math.isnan(one["high"])


WHOLE, NEARLY, HARDLY = (6.0,) * 5, (5.0,) * 4 + (NEVER,), (5.0,) * 2 + (NEVER,) * 3


@pytest.mark.parametrize(
    ("mine", "a", "b", "rival", "ends"),
    [
        (WHOLE, NEARLY, (9.0,) * 5, "b", "0.67 (0.67 to 0.67) of b"),  # a is the first by its median, but does not arrive with all
        (NEARLY, NEARLY, (9.0,) * 5, "b", "4 of 5 seeds arrive; b arrives with all"),
        (WHOLE, NEARLY, HARDLY, "a", "5 of 5 seeds arrive; nobody else arrives with all, and a, the best of them by its median, with 4"),
        (WHOLE, HARDLY, HARDLY, "a", "5 of 5 seeds arrive; nobody else arrives with more than half"),
    ],
)
def test_the_rival_arrives_with_all_seeds_where_anybody_does(mine, a, b, rival, ends):
    given = table({("equal", "mine"): mine, ("equal", "a"): a, ("equal", "b"): b})
    row = next(standing(given, "mine").itertuples())
    assert (row.rival, row.rival_arrived) == (rival, sum(time < NEVER for time in {"a": a, "b": b}[rival]))
    assert contest._said(given, "mine").splitlines()[1].endswith(f"   {ends}")


def test_place_counts_who_is_near_more_often_and_who_as_often():
    # Within a factor of 2: mine in "equal" and "dead"; a in "equal" and "slow"; b in "equal" alone (20 > 18 in "slow").
    assert place(table(), "mine") == (1, 2, pytest.approx(2 / 3)) and place(table(), "b") == (3, 1, pytest.approx(1 / 3))


def test_standing_needs_the_method_and_somebody_else():
    with pytest.raises(ValueError, match="The table has mine, a, b; to see how 'c' stands"):
        standing(table(), "c")
    with pytest.raises(ValueError, match="one of two or more"):
        standing(table().query("method == 'mine'"), "mine")


def test_the_figure_has_a_row_a_scenario_and_a_place_for_never():
    ratios = profiles.ratios(profiles.seconds(table()))
    ax = drawn(ratios, "mine")
    others, mine = ax.lines[:2]
    assert len(ax.get_yticks()) == 3 and mine.get_ydata().tolist() == [0, 1, 2]
    assert sorted(others.get_xdata()) == pytest.approx([1.0, 1.0, 2.0, 20 / 9])  # two of "dead" are counted in words
    assert [text.get_text() for text in ax.texts] == ["2"] and ax.get_xticklabels()[-1].get_text() == "never"
    assert mine.get_xdata()[1] == ax.get_xticks()[-1] > 2 and np.isfinite(mine.get_xdata()).all()
    plt.close(ax.figure)
    with pytest.raises(ValueError, match="The table has no method 'c'"):
        drawn(ratios, "c")


def test_how_many_others_fail_alike():
    rows = {row.cluster: row for row in standing(table(), "mine").itertuples()}
    assert others_alike(table(), rows["slow"]) == 0 and others_alike(table(), rows["equal"]) == 2


def test_the_step_sizes_are_those_of_the_comparison_and_the_help_says_which():
    cells = json.loads((MINE.parent / "10_comparison.ipynb").read_text())["cells"]
    text = next("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    least, number = (int(re.search(rf"^{name}: int = (-?\d+)", text, re.MULTILINE)[1]) for name in ("least_power", "n_lrs"))
    assert contest.LRS == tuple(2.0 ** (least + i) for i in range(number))
    said = " ".join(contest.contest.help.split())
    assert f"from 2^{least} to {contest.LRS[-1]:g}, with two seeds, and judged with five others" in said
    assert (len(contest.TUNING), len(contest.SEEDS)) == (2, 5) and not set(contest.TUNING) & set(contest.SEEDS)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(contest, "CLUSTERS", ("equal",))
    monkeypatch.setattr(contest, "SEEDS", (0, 1))
    monkeypatch.setattr(contest, "LRS", (0.02, 0.05, 0.1, 0.2))


def test_contest_prints_where_a_file_stands_and_remembers_what_it_computed(small, tmp_path):
    call = ["contest", f"{MINE}:DelayCompensated", "--against", "asgd", "--no-processes", "--out", str(tmp_path)]
    first = CliRunner().invoke(asgd, call)
    assert first.exit_code == 0 and "DelayCompensated conforms: 10 checks passed." in first.stdout
    assert first.stdout.count(" of 2 ") == 4 and " of asgd\n" in first.stdout and "What this does not show." in first.stdout
    assert sorted(path.name for path in (tmp_path / "DelayCompensated").iterdir()) == [f"comparison.{k}" for k in ("parquet", "pdf", "png")]
    written = pd.read_parquet(tmp_path / "DelayCompensated" / "comparison.parquet")
    assert set(written["method"]) == {"asgd", "DelayCompensated"} and len(written) == 2 * 2 * 2
    known = set((tmp_path / "cache").iterdir())
    assert known and CliRunner().invoke(asgd, call).stdout == first.stdout and set((tmp_path / "cache").iterdir()) == known


def test_contest_takes_hyperparameters_and_says_who_takes_part(small, tmp_path):
    call = ["contest", f"{MINE}:DelayCompensated", "--against", "asgd", "--no-processes", "--out", str(tmp_path)]
    done = CliRunner().invoke(asgd, [*call, "--set", "strength=0"])
    name = "DelayCompensated(strength=0)"
    assert done.exit_code == 0 and (tmp_path / name / "comparison.png").exists()
    assert f"Comparing asgd and yours ({name}):" in done.stderr and "2 of 2 scenarios after" in done.stderr
    assert "quadratic, 10 workers: seconds until the gap is " in done.stdout and " and stays there; iid or one class" in done.stdout
    assert "of 2 scenarios; nobody is so in more, 1 other is so in as many." in done.stdout
    assert done.stdout.count("1.00 (1.00 to 1.00) of asgd") == 2 and "compare medians over seeds" in done.stdout
    assert "hyperparameter 'speed'" in str(CliRunner().invoke(asgd, [*call, "--set", "speed=1"]).exception)
    assert contest._field(contest.entries(10), False).startswith("33 of the table's 34 methods (without vecna: it needs")


def test_contest_ends_where_a_method_does_not_conform(small, tmp_path):
    text = MINE.read_text().replace("x = s.x - self.lr", "x = s.x + self.lr")
    (tmp_path / "uphill.py").write_text(text)
    call = ["contest", f"{tmp_path}/uphill.py:DelayCompensated", "asgd", "--no-processes", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(asgd, call)
    assert done.exit_code == 1 and "fails descends" in done.stdout and "asgd conforms" in done.stdout and not (tmp_path / "out").exists()
