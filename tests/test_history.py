"""The questions asked of a history, on hand-made tables whose answers are known, and on real ones."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from asgd_lib import METHODS, clusters, history, replay, simulate
from asgd_lib.problems import Quadratic

PROBLEM = Quadratic(np.ones((2, 3)), np.ones((2, 3)), sigma=0.5)
TRACE = simulate(clusters.Fixed((1.0, 3.0)), METHODS["asgd"](lr=0.1), arrivals=45)
SWEEP = [METHODS["asgd"](lr=lr) for lr in (0.1, 0.3, 9.0)] + [METHODS["asgd_delay_adaptive"](lr=lr) for lr in (0.1, 0.3)]


def table(*runs: dict) -> pd.DataFrame:
    """A history from runs given as method, lr, seed, status, arrivals and losses; time runs twice as fast as arrivals."""
    rows = []
    for number, run in enumerate(runs):
        for arrivals, loss in zip(run["arrivals"], run["loss"], strict=True):
            rows.append(
                {"run": number, "method": run.get("method", "m"), "lr": run.get("lr", 0.1), "seed": run.get("seed", 0)}
                | {"time": 2.0 * arrivals, "arrivals": arrivals, "updates": arrivals // 2, "used": arrivals, "loss": loss}
                | {"status": run.get("status", "done")}
            )
    frame = pd.DataFrame(rows)
    frame.attrs["x"] = torch.zeros(len(runs), 2)
    return frame


def scores(*rows: tuple) -> pd.DataFrame:
    """A score table from (method, lr, seed, value)."""
    frame = pd.DataFrame(rows, columns=["method", "lr", "seed", "value"])
    return frame.assign(run=range(len(rows)), status=np.where(np.isinf(frame["value"]), "diverged", "done"))


def test_replay_gives_one_row_a_run_and_checkpoint():
    runs = replay(TRACE, SWEEP, PROBLEM, seeds=(4, 2), every=20)
    by_run = runs.groupby("run")
    assert by_run.ngroups == 10 and list(runs.columns[:10]) == list(history.COLUMNS) and runs.columns[-1] == "status"
    assert by_run["method"].first().tolist() == ["asgd"] * 6 + ["asgd_delay_adaptive"] * 4
    assert by_run["lr"].first().tolist() == [0.1, 0.1, 0.3, 0.3, 9.0, 9.0, 0.1, 0.1, 0.3, 0.3]
    assert by_run["seed"].first().tolist() == [4, 2] * 5
    done = runs[runs.status == "done"]
    assert set(done["run"]) == {0, 1, 2, 3, 6, 7, 8, 9}
    for _, run in done.groupby("run"):
        assert run["arrivals"].tolist() == [0, 20, 40, 45]
        assert run["time"].tolist() == [0.0, *TRACE.end[[19, 39, 44]]]
    diverged = runs[runs.status == "diverged"]
    assert set(diverged["lr"]) == {9.0} and (diverged.groupby("run")["arrivals"].max() < 45).all()
    assert runs.attrs["x"].shape == (10, 3)
    last = PROBLEM.metrics(runs.attrs["x"])["loss"].numpy()
    np.testing.assert_allclose(by_run["loss"].last(), last, rtol=1e-12, equal_nan=True)


# final


def test_final_is_the_last_checkpoint_and_inf_where_a_run_diverged():
    runs = table(
        {"arrivals": [0, 10, 20], "loss": [5.0, 3.0, 1.0], "method": "a", "lr": 0.2, "seed": 3},
        {"arrivals": [0, 10], "loss": [5.0, 1e9], "status": "diverged"},
        {"arrivals": [0, 10], "loss": [5.0, 4.0], "status": "timeout"},
    )
    last = history.final(runs)
    assert last["value"].tolist() == [1.0, np.inf, 4.0]
    assert last["status"].tolist() == ["done", "diverged", "timeout"]
    assert last.loc[0, ["run", "method", "lr", "seed"]].tolist() == [0, "a", 0.2, 3]
    assert history.final(runs, "updates")["value"].tolist() == [10.0, np.inf, 5.0]


@pytest.mark.parametrize(("last", "value"), [(0.0, 1.0), (0.2, 1.5), (0.5, 2.5), (1.0, 4.1)])
def test_final_can_average_the_last_part_of_the_arrivals(last, value):
    runs = table({"arrivals": [0, 25, 50, 80, 100], "loss": [8.0, 5.0, 4.5, 2.0, 1.0]}, {"arrivals": [0, 10], "loss": [7.0, 7.0]})
    assert history.final(runs, last=last)["value"].tolist() == pytest.approx([value, 7.0])


# time_to


def test_time_to_is_the_clock_at_the_first_checkpoint_that_reaches_the_target():
    runs = table(
        {"arrivals": [0, 10, 20, 30], "loss": [5.0, 2.0, 3.0, 1.0]},
        {"arrivals": [0, 10, 20, 30], "loss": [5.0, 4.0, 3.0, 2.5]},
        {"arrivals": [0, 10], "loss": [2.0, 9.0], "status": "diverged"},
    )
    assert history.time_to(runs, 2.0)["value"].tolist() == [20.0, np.inf, 0.0]  # reached and left again is reached
    assert history.time_to(runs, 2.0, clock="arrivals")["value"].tolist() == [10.0, np.inf, 0.0]
    assert history.time_to(runs, 2.5, clock="updates")["value"].tolist() == [5.0, 15.0, 0.0]
    assert history.time_to(runs, 1.9)["value"].tolist() == [60.0, np.inf, np.inf]
    assert history.time_to(runs, 2.0)["status"].tolist() == ["done", "done", "diverged"]


def test_time_to_a_rising_target():
    runs = table({"arrivals": [0, 10, 20], "loss": [0.1, 0.8, 0.9]})
    assert history.time_to(runs, 0.8, rising=True, clock="arrivals")["value"].tolist() == [10.0]
    assert history.time_to(runs, 0.95, rising=True)["value"].tolist() == [np.inf]


# best_lr and at_best_lr


def test_best_lr_is_the_best_mean_over_seeds():
    found = history.best_lr(scores(("b", 1.0, 0, 3.0), ("b", 1.0, 1, 5.0), ("b", 2.0, 0, 1.0), ("b", 2.0, 1, 4.0), ("b", 4.0, 0, 0.5),
                                   ("b", 4.0, 1, 9.0), ("a", 1.0, 0, 1.0)))  # fmt: skip
    assert found.to_dict("list") == {"method": ["b", "a"], "lr": [2.0, 1.0], "value": [2.5, 1.0], "edge": [False, False]}


@pytest.mark.parametrize(("values", "lr", "edge"), [([1, 2, 3], 1.0, True), ([3, 1, 2], 2.0, False), ([3, 2, 1], 3.0, True)])
def test_best_lr_says_where_the_best_lies_at_the_end_of_the_grid(values, lr, edge):
    found = history.best_lr(scores(*(("m", step, 0, float(v)) for step, v in zip((1.0, 2.0, 3.0), values, strict=True))))
    assert (found["lr"][0], found["edge"][0]) == (lr, edge)


def test_a_step_size_with_one_diverged_seed_is_never_best():
    rows = [("m", 1.0, 0, 5.0), ("m", 1.0, 1, 5.0), ("m", 2.0, 0, 0.1), ("m", 2.0, 1, np.inf), ("m", 0.5, 0, 6.0), ("m", 0.5, 1, 6.0)]
    assert history.best_lr(scores(*rows))["lr"].tolist() == [1.0]
    assert history.best_lr(scores(*rows), largest=True)[["lr", "value"]].to_numpy().tolist() == [[0.5, 6.0]]
    with_nan = scores(*rows[:2], ("m", 2.0, 0, 0.1), ("m", 2.0, 1, np.nan))
    assert history.best_lr(with_nan)["lr"].tolist() == [1.0]


def test_the_largest_score_may_be_the_best():
    found = history.best_lr(scores(("m", 1.0, 0, 0.5), ("m", 2.0, 0, 0.9), ("m", 3.0, 0, 0.7)), largest=True)
    assert found.to_dict("list") == {"method": ["m"], "lr": [2.0], "value": [0.9], "edge": [False]}


def test_where_every_step_size_fails_the_value_says_so():
    found = history.best_lr(scores(("m", 1.0, 0, np.inf), ("m", 2.0, 0, np.inf), ("m", 3.0, 0, np.inf)))
    assert found["value"].tolist() == [np.inf] and found["edge"].tolist() == [True]


def test_at_best_lr_keeps_those_rows_and_no_others():
    runs = replay(TRACE, SWEEP, PROBLEM, seeds=(0, 1), every=20)
    best = history.best_lr(history.final(runs, "gap"))
    kept = history.at_best_lr(runs, best)
    assert kept.groupby("method")["lr"].unique().map(list).to_dict() == {m: [lr] for m, lr in zip(best["method"], best["lr"], strict=True)}
    assert len(kept) == 2 * 2 * 4 and kept.index.tolist() == list(range(16))
    last = history.at_best_lr(history.final(runs, "gap"), best)
    assert last.groupby("method")["value"].mean().to_dict() == pytest.approx(dict(zip(best["method"], best["value"], strict=True)))


def test_at_best_lr_takes_each_methods_own_from_the_middle_of_its_grid():
    rows = scores(*((m, lr, 0, abs(lr - best)) for m, best in (("a", 2.0), ("b", 3.0)) for lr in (1.0, 2.0, 3.0, 4.0)))
    kept = history.at_best_lr(rows, history.best_lr(rows))
    assert kept[["method", "lr"]].to_numpy().tolist() == [["a", 2.0], ["b", 3.0]]


def test_best_lr_mixes_no_parts_that_share_a_methods_name():
    one, two = (replay(TRACE, SWEEP, PROBLEM, seeds=(0, 1), every=40) for _ in range(2))
    with pytest.raises(ValueError, match="has several scores at lr = .* and seed 0. Tune each history by itself, or .*assign"):
        history.best_lr(history.final(history.concat({"near": one, "far": two}), "gap"))
    named = history.concat([h.assign(method=h["method"] + label) for h, label in ((one, ", near"), (two, ", far"))])
    alone = history.best_lr(history.final(one, "gap"))
    assert history.best_lr(history.final(named, "gap"))["lr"].tolist() == alone["lr"].tolist() * 2
    later = two.assign(seed=two["seed"] + 2)  # more seeds of the same are no mixture
    assert history.best_lr(history.final(history.concat([one, later]), "gap"))["lr"].tolist() == alone["lr"].tolist()


# samples


def test_samples_pair_by_seed_whatever_the_order():
    one = history.samples(scores(("b", 1.0, 2, 2.0), ("b", 1.0, 0, 0.0), ("a", 1.0, 1, 11.0), ("b", 1.0, 1, 1.0), ("a", 1.0, 0, 10.0)))
    assert list(one) == ["b", "a"]
    assert one["b"].tolist() == [0.0, 1.0, 2.0] and one["a"].tolist() == [10.0, 11.0]
    assert list(history.samples(scores(("b", 1.0, 0, 2.0), ("a", 1.0, 0, 3.0)), ["a"])) == ["a"]


# concat


def test_concat_renumbers_runs_and_names_the_parts():
    one, two = (replay(TRACE, SWEEP[:2], PROBLEM, seeds=seeds, every=20) for seeds in ((0,), (1, 2)))
    both = history.concat({"left": one, "right": two}, label="side")
    assert both.columns[0] == "side" and both.groupby("run")["side"].first().tolist() == ["left"] * 2 + ["right"] * 4
    assert len(both) == len(one) + len(two) and both["run"].nunique() == 6
    pd.testing.assert_frame_equal(both[both.side == "right"].drop(columns="side").assign(run=lambda t: t.run - 2).reset_index(drop=True),
                                  two, check_flags=False)  # fmt: skip
    assert list(history.concat([one, two]).columns) == list(one.columns)


def test_concat_leaves_models_behind_and_its_sources_alone():
    """pandas compares attrs of the parts, which for tensors of several elements is an error."""
    one, two = (replay(TRACE, SWEEP[:2], PROBLEM, seeds=seeds, every=20) for seeds in ((0,), (1,)))
    before = one.copy()
    both = history.concat([one, two, one])
    assert both.attrs == {} and one.attrs["x"].shape == (2, 3) and both["run"].nunique() == 6
    assert one.drop(columns="status").equals(before.drop(columns="status"))


def test_no_question_changes_the_history():
    runs = replay(TRACE, SWEEP, PROBLEM, seeds=(0, 1), every=20)
    before, x = runs.copy(), runs.attrs["x"].clone()
    last = history.final(runs, "gap", last=0.3)
    history.time_to(runs, 0.1, "gap")
    copy = last.copy()
    best = history.best_lr(last, largest=True)
    history.at_best_lr(runs, best)
    history.samples(last)
    assert runs.equals(before) and torch.equal(runs.attrs["x"], x) and last.equals(copy)


UNKNOWN = [("final", {"metric": "los"}), ("time_to", {"metric": "los"}), ("time_to", {"clock": "seconds"})]


@pytest.mark.parametrize(("ask", "given"), UNKNOWN)
def test_an_unknown_column_is_refused_with_the_known_ones(ask, given):
    table = replay(TRACE, SWEEP[0], PROBLEM)
    target = {"target": 1.0} if ask == "time_to" else {}
    with pytest.raises(ValueError, match="must be one of .*'(loss|time)'"):
        getattr(history, ask)(table, **target, **given)


def test_histories_that_carry_their_models_can_be_printed_joined_and_copied():
    one, other = (replay(TRACE, METHODS["asgd"](lr=lr), PROBLEM, every=1, seeds=(0, 1)) for lr in (0.1, 0.2))
    with pd.option_context("display.width", 80):
        assert "[92 rows" in repr(one)
    x, y = one.attrs["x"], other.attrs["x"]
    assert pd.concat([one, one.copy()]).attrs["x"] is x and "x" not in pd.concat([one, other]).attrs
    assert torch.equal(x, pickle.loads(pickle.dumps(one)).attrs["x"])
    assert type(x + 1) is type(x[0]) is type(torch.cat([x, y])) is torch.Tensor
    assert (x == y).shape == x.shape and not (x == y) and (x == x.clone()).all() and not x == x[:1].as_subclass(type(x))


def test_a_problem_may_use_the_memory_of_its_metrics_again():
    class Frugal(Quadratic):
        def metrics(self, x):
            memory = vars(self).setdefault("_memory", {})
            for name, value in super().metrics(x).items():
                memory.setdefault(name, torch.empty_like(value)).copy_(value)
            return memory

    frugal = Frugal(np.ones((2, 3)), np.ones((2, 3)), sigma=0.5)
    tables = [replay(TRACE, SWEEP[0], problem, every=10) for problem in (PROBLEM, frugal)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
