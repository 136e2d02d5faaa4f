"""Contests: who counts as arrived, how steps are chosen, and that an early look changes nothing."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.comparison import LEFT_OUT, Entry, Scenario, compare, contest, entries, objectives, outcomes, scenarios, suite
from asgd_lib.methods import Method
from asgd_lib.problems import Quadratic
from asgd_lib.rules import SGD

EVERY, FINE = np.arange(0.0, 100.0, 10.0), np.arange(0.0, 100.0, 1.0)  # s, checkpoints


def quadratic(n=3, spread=0.0, sigma=0.0):
    """Unit curvature, start at distance 1 from the minimiser, workers `spread` apart."""
    b = torch.ones(n, 1) + spread * (torch.arange(n)[:, None] - (n - 1) / 2)
    return Quadratic(torch.ones(n, 1), b, sigma=sigma)


def scenario(cluster=None, problem=None, target=0.005, horizon=100.0, hold=5.0, name="fixed"):
    problem = problem or quadratic()
    return Scenario("quadratic", "iid", name, problem, cluster or clusters.equal(problem.n), "gap", target, horizon, hold)


@pytest.mark.parametrize(
    "value, hold, expected",
    [
        ([9, 1, 1, 1, 1, 1, 1, 1, 1, 1], 0, 10),
        ([9, 1, 9, 1, 1, 1, 1, 1, 1, 1], 0, 10),  # without a hold the first time counts
        ([9, 1, 9, 1, 1, 1, 1, 1, 1, 1], 10, 30),  # a dip shorter than the hold does not
        ([9, 1, 1, 9, 1, 1, 9, 9, 9, 9], 10, 10),  # two checkpoints in a row, 10 s apart, do
        ([9, 1, 1, 9, 1, 1, 9, 9, 9, 9], 20, math.inf),
        ([9, 9, 9, 9, 9, 9, 9, 9, 9, 1], 10, 90),  # the last value lasts to the end, 100 s
        ([9, 9, 9, 9, 9, 9, 9, 9, 9, 1], 11, math.inf),
        ([9, math.nan, 1, 1, math.nan, 9, 9, 9, 9, 9], 10, 20),
        ([2, 2, 2, 2, 2, 2, 2, 2, 2, 2], 0, 0),  # at the target is there
    ],
)
def test_arriving_is_coming_to_stay(value, hold, expected):
    assert outcomes.first_to_hold(EVERY, np.array(value, float), 2.0, hold, 100.0) == expected


@pytest.mark.parametrize(
    "value, updates, diverged, expected",
    [
        (5 * 0.97**FINE, FINE, False, "reached"),
        (1.5 + 5 * 0.97**FINE, FINE, False, "levelled off"),  # its limit is above the target, though it still falls
        (0.5 + 5 * 0.99**FINE, FINE, False, "too slow"),
        (9 - 0.01 * FINE, FINE, False, "too slow"),  # not slowing down: nobody knows where it leads
        (5 + 0 * FINE, np.minimum(FINE, 70), False, "stalled"),
        (5 + 0 * FINE, np.minimum(FINE, 80), False, "levelled off"),
        (5 + FINE, FINE, False, "levelled off"),
        (5 + FINE, FINE, True, "diverged"),
        (np.where(FINE < 50, 0.5, 9.0**FINE), FINE, True, "reached"),  # what it does when it has arrived is another question
        (np.where(FINE < 99, 5.0, 0.5), FINE, True, "diverged"),  # its metric is low where its loss, or its model, is infinite
    ],
)
def test_ways_to_fail_are_told_apart(value, updates, diverged, expected):
    found = outcomes.outcome(FINE, value, updates, diverged, 1.0, 1.0 if diverged else 5.0, 100.0)
    assert found.outcome == expected
    assert math.isfinite(found.seconds) == (expected == "reached")
    assert set(outcomes.OUTCOMES) >= {expected}


def test_level_is_the_mean_in_time_of_the_last_quarter_over_the_target():
    time, value = np.array([0.0, 80.0, 95.0]), np.array([4.0, 8.0, 6.0])
    found = outcomes.outcome(time, value, time, False, 2.0, 0.0, 100.0)
    assert found.level == pytest.approx((5 * 4 + 15 * 8 + 5 * 6) / 25 / 2)


def test_limit_of_a_geometric_fall_is_exact():
    assert outcomes.limit(7.0, 5.0, 4.0) == pytest.approx(3.0)
    assert outcomes.limit(3.0, 2.0, 2.5) == 2.5
    assert outcomes.limit(3.0, 2.0, 1.0) == -math.inf


def test_times_are_those_of_the_closed_form():
    """Minibatch SGD on |x - 1|^2 / 2 with step 1/2: the gap falls by 4 a second from 1/2 and is at 0.005 after 4 rounds."""
    table = compare([Entry("halving", METHODS["sgd_minibatch"])], [scenario()], [0.5], seeds=[0, 1])
    assert table["seconds"].tolist() == [4.0, 4.0] and table["outcome"].eq("reached").all()
    assert not table["edge"].any(), "a grid of one step has no edge"


def test_step_sizes_are_chosen_by_the_slowest_tuning_seed():
    rows = [("m", 0.1, 1.0, "reached"), ("m", 0.1, 30.0, "reached"), ("m", 0.2, 20.0, "reached"), ("m", 0.2, 20.0, "reached")]
    rows += [("m", 0.4, 1.0, "reached"), ("m", 0.4, math.inf, "too slow")]
    scores = pd.DataFrame(rows, columns=["method", "lr", "seconds", "outcome"]).assign(level=np.nan)
    assert contest.best_steps(scores) == {"m": 0.2}


def test_who_never_arrives_is_shown_at_the_step_with_the_lowest_level():
    rows = [("m", 0.1, 3.0), ("m", 0.2, 1.5), ("m", 0.4, math.inf)]
    scores = pd.DataFrame(rows, columns=["method", "lr", "level"]).assign(seconds=math.inf, outcome="levelled off")
    assert contest.best_steps(scores) == {"m": 0.2}


@pytest.mark.parametrize("split", ["iid", "one class"])
def test_an_early_look_changes_nothing(split):
    field = scenarios(10, splits=[split], clusters=["straggler", "dead"])
    field = [Scenario(*s.key, s.problem, s.cluster, s.metric, s.target, 40.0, 2.0) for s in field]
    some = entries(10, ["asgd", "sgd_minibatch", "rennala", "dude", "hogwild_local"])
    lrs = [2.0**k for k in range(-8, 2)]
    tables = [compare(some, field, lrs, tuning_seeds=[7, 8], seeds=[0, 1], first_look=look) for look in (1.0, 0.5, 0.1)]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], other)
    assert tables[0]["outcome"].nunique() > 1, "the test is about scenarios in which some fail"


class Late(SGD):
    """SGD that runs away after 120 updates."""

    def receive(self, s, a):
        after = super().receive(s, a)
        return after._replace(x=after.x * 10) if s.k > 120 else after


def test_an_early_look_changes_nothing_for_who_arrives_and_then_diverges():
    late = Entry("late", lambda lr: Method(METHODS["asgd"](lr=lr).policy, Late(lr), "late"))
    field = [scenario(clusters.equal(3)), scenario(clusters.equal(3), target=1e-30, name="far")]
    tables = [compare([late], field, [0.05, 0.1, 0.2], seeds=[0, 1], first_look=look) for look in (1.0, 0.3)]
    pd.testing.assert_frame_equal(*tables)
    assert tables[0].groupby("cluster")["outcome"].unique().map(list).to_dict() == {"fixed": ["reached"], "far": ["diverged"]}


def test_ones_own_method_takes_part_by_one_entry():
    def mine(lr):
        return Method(METHODS["asgd"](lr=lr).policy, SGD(lr), "something else")

    some = [*entries(3, ["asgd"]), Entry("mine", mine)]
    table = compare(some, [scenario(problem=quadratic(sigma=0.1))], [0.05, 0.1, 0.2])
    first, second = (part.drop(columns="method").reset_index(drop=True) for _, part in table.groupby("method", sort=False))
    pd.testing.assert_frame_equal(first, second)
    assert table["method"].drop_duplicates().tolist() == ["asgd", "mine"]


def test_tuning_and_judging_seeds_are_different_runs():
    table = compare(entries(3, ["asgd"]), [scenario(problem=quadratic(sigma=0.5), target=0.02)], [0.1], tuning_seeds=[9], seeds=[3, 4, 5])
    trace = simulate(clusters.equal(3), METHODS["asgd"](lr=0.1), until=100.0)
    history = replay(trace, METHODS["asgd"](lr=0.1), quadratic(sigma=0.5), seeds=[3, 4, 5], every=3)
    by_hand = outcomes.outcomes(history, "gap", 0.02, 5.0, 100.0, 3)
    assert table["seed"].tolist() == [3, 4, 5]
    assert table["seconds"].tolist() == by_hand["seconds"].tolist()


def test_random_times_are_those_of_the_trace_seed():
    (field,) = scenarios(10, splits=["iid"], clusters=["heavy tail"])
    for luck in (0, 5):
        table = compare(entries(10, ["asgd"]), [field], [0.0625], seeds=[1, 2], tuning_seeds=[9], trace_seed=luck)
        trace = simulate(field.cluster, METHODS["asgd"](lr=0.0625), until=field.horizon, seed=luck)
        assert np.isfinite(table["seconds"]).all() and set(table["seconds"]) <= set(trace.end)


def test_a_best_step_at_the_end_of_the_grid_is_flagged_but_not_of_who_makes_no_step():
    some = entries(3, ["asgd", "sgd_minibatch"])
    dead = scenario(clusters.Fixed((1.0, 1.0, 1e9)), name="dead")
    table = compare(some, [scenario(), dead], [0.001, 0.01, 0.02], seeds=[0]).set_index(["cluster", "method"])
    assert table.loc[("fixed", "asgd"), "edge"]
    assert table.loc[("dead", "sgd_minibatch"), "outcome"] == "stalled" and not table.loc[("dead", "sgd_minibatch"), "edge"]


def test_a_cache_gives_the_same_table(tmp_path):
    some, field = entries(3, ["asgd", "dude"]), [scenario(problem=quadratic(sigma=0.3), target=0.02)]
    fresh, again = (compare(some, field, [0.05, 0.1], cache=tmp_path) for _ in range(2))
    pd.testing.assert_frame_equal(fresh, again)
    assert any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change, words",
    [
        ({"entries": []}, "at least one entry"),
        ({"entries": [Entry("a", METHODS["asgd"])] * 2}, "'a' twice"),
        ({"scenarios": []}, "at least one scenario"),
        ({"lrs": [0.1, 0.1]}, "0.1 twice"),
        ({"lrs": [-0.1]}, "lrs must be"),
        ({"seeds": [1, 2], "tuning_seeds": [2, 3]}, "judge on others"),
        ({"first_look": 1.5}, "first_look must be"),
    ],
)
def test_contests_that_make_no_sense_are_refused(change, words):
    given = {"entries": entries(3, ["asgd"]), "scenarios": [scenario()], "lrs": [0.1]} | change
    with pytest.raises(ValueError, match=words):
        compare(given.pop("entries"), given.pop("scenarios"), given.pop("lrs"), **given)


def test_a_scenario_has_one_number_of_workers():
    with pytest.raises(ValueError, match="The problem has 3 workers and the cluster 4"):
        scenario(clusters.equal(4), quadratic(3))


def test_an_entry_must_make_a_method():
    with pytest.raises(TypeError, match="must make a Method"):
        compare([Entry("rule", SGD)], [scenario()], [0.1])
    with pytest.raises(ValueError, match="needs a name"):
        Entry("", METHODS["asgd"])


def test_every_row_of_the_table_takes_part_or_is_left_out_with_a_reason():
    names = {entry.name for entry in entries(10)}
    assert names | set(LEFT_OUT) == set(METHODS) and not names & set(LEFT_OUT) and all(LEFT_OUT.values())
    with pytest.raises(KeyError, match="no method 'nobody'"):
        entries(10, ["nobody"])


def test_scenarios_are_all_combinations_and_refuse_unknown_names():
    made = scenarios(10, splits=["iid", "one class"])
    assert len(made) == 2 * len(suite.CLUSTERS) == len({s.key for s in made})
    assert "recorded" not in {s.cluster_name for s in scenarios(4)}
    for wrong in ({"problems": ["x"]}, {"splits": ["x"]}, {"clusters": ["x"]}):
        with pytest.raises(ValueError, match="must be one of"):
            scenarios(10, **wrong)
    with pytest.raises(ValueError, match="has 10 workers"):
        scenarios(4, clusters=["recorded"])


def test_the_recording_is_slowed_down_to_a_median_of_a_second_and_has_a_frozen_worker():
    times = suite.recorded(10).seconds
    everything = np.concatenate([np.array(t) for t in times])
    assert np.median(everything) == pytest.approx(1.0) and len(everything) == 600
    assert int(np.argmax([max(t) for t in times])) == 3 and max(times[3]) > 5 * np.median(times[3])


@pytest.mark.parametrize("split", objectives.SPLITS)
def test_quadratic_has_the_constants_it_says(split):
    aim = objectives.quadratic(10, split)
    problem = aim.problem
    assert problem.L == pytest.approx(1.0) and problem.mu == pytest.approx(0.2)
    assert aim.target == pytest.approx(0.02 * float(problem.metrics(problem.x0[None])["gap"]))
    apart = problem.zeta_sq
    assert apart == pytest.approx(0.0, abs=1e-20) if split == "iid" else apart > 1.0


def test_splits_hold_what_their_names_say():
    y = torch.arange(200) % 10
    one = objectives.parts("one class", y, 10, 0)
    assert [set(y[part].tolist()) for part in one] == [{c} for c in range(10)]
    assert sum(map(len, objectives.parts("dirichlet", y, 10, 0))) == 200
    with pytest.raises(ValueError, match="as many workers as classes"):
        objectives.parts("one class", y, 5, 0)
    weights = objectives.shares("dirichlet", 6, 0)
    assert np.allclose(weights.sum(1), 1) and weights.std() > 0.1


def test_digits_target_is_a_share_of_the_way_to_the_minimum():
    near, far = (objectives.digits(10, "iid", share=share, samples=20) for share in (0.05, 0.5))
    first = float(near.problem.metrics(near.problem.x0[None])["loss"])
    least = first - (first - far.target) / 0.5
    assert near.target == pytest.approx(least + 0.05 * (first - least), rel=1e-6)
    x = objectives.minimiser(near.problem, 1e-3)
    assert float(near.problem.metrics(x[None])["loss"]) == pytest.approx(least, rel=1e-4)
