"""Runs that end before their time: diverged ones alone, late ones all together."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from cases import RANDOM, Slope, quadratic

from asgd_lib import METHODS, replay, replayer, simulate

ASGD = METHODS["asgd"](0.1)
TRACE = simulate(RANDOM, ASGD, arrivals=130, seed=2)


def test_a_diverged_run_ends_and_its_neighbours_do_not_notice():
    problem, steps = quadratic(sigma=1.0), [METHODS["asgd"](lr) for lr in (0.1, 8.0, 0.2)]
    history = replay(TRACE, steps, problem, seeds=(0, 1), every=10)
    assert history.groupby("run")["status"].first().tolist() == ["done", "done", "diverged", "diverged", "done", "done"]
    limit = 1e6 * (1 + abs(problem.metrics(problem.x0[None])["loss"].item()))
    for run in (2, 3):
        loss = history[history["run"] == run]["loss"].to_numpy()
        assert len(loss) < 14 and not loss[-1] <= limit and (loss[:-1] <= limit).all()
        at_the_end = problem.metrics(history.attrs["x"][run][None])["loss"].item()
        assert at_the_end == loss[-1]
    for run, lr, seed in [(0, 0.1, 0), (1, 0.1, 1), (4, 0.2, 0), (5, 0.2, 1)]:
        alone = replay(TRACE, METHODS["asgd"](lr), problem, seeds=[seed], every=10)
        rows = history[history["run"] == run].assign(run=0).reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, alone, check_exact=True)
        assert torch.equal(history.attrs["x"][run], alone.attrs["x"][0])


def test_nothing_is_computed_after_the_last_run_diverged():
    problem = Slope()
    history = replay(TRACE, [METHODS["asgd"](lr) for lr in (1e5, 2e5)], problem, every=10)
    # |x| = lr e: 2e5 passes the limit of 1e6 (1 + 0) at arrival 6, seen at 10; 1e5 is at the limit at 10, over it at 20.
    assert history.groupby("run")["arrivals"].max().tolist() == [20, 10]
    assert history["status"].unique().tolist() == ["diverged"]
    assert sum(map(len, problem.calls)) < 40


@pytest.mark.parametrize(("x0", "status"), [(float("inf"), "diverged"), (float("nan"), "diverged"), (-1e9, "done")])
def test_a_start_that_is_no_number_is_diverged_at_once(x0, status):
    history = replay(TRACE, ASGD, Slope(x0=x0), every=50)
    assert history["status"].unique().tolist() == [status]
    assert len(history) == (4 if status == "done" else 1)


def test_a_model_that_is_not_finite_is_diverged_though_its_loss_may_be():
    class Blind(Slope):
        def metrics(self, x):
            return {"loss": torch.zeros(len(x)), "grad_norm_sq": torch.zeros(len(x))}

    history = replay(TRACE, METHODS["asgd"](1e308), Blind(), every=1)
    assert history["status"].iloc[0] == "diverged" and history["arrivals"].max() == 2


def clock(monkeypatch, seconds_a_look=1.0):
    """A clock that advances at each look."""
    looks = []
    monkeypatch.setattr(replayer, "time", SimpleNamespace(monotonic=lambda: looks.append(0) or seconds_a_look * len(looks)))


def test_a_time_limit_ends_all_runs_at_a_checkpoint_of_their_own(monkeypatch):
    clock(monkeypatch)
    # Looks at arrivals 0, 64, 128, ...: started at 1 s, the limit of 1.5 s is over at the second of them.
    history = replay(TRACE, [ASGD, METHODS["asgd"](8.0)], quadratic(), every=50, timeout=1.5)
    assert history.groupby("run")["status"].first().tolist() == ["timeout", "diverged"]
    assert history[history["run"] == 0]["arrivals"].tolist() == [0, 50, 64]
    part = replay(TRACE, ASGD, quadratic(), arrivals=64)
    assert torch.equal(history.attrs["x"][0], part.attrs["x"][0])
    assert history["loss"][2] == part["loss"].iloc[-1]


def test_a_time_limit_is_for_all_methods_together(monkeypatch):
    clock(monkeypatch)
    history = replay(TRACE, [ASGD, METHODS["dude"](0.1)], quadratic(), timeout=2.5)
    assert history.groupby("run")["arrivals"].max().tolist() == [128, 0]
    assert history["status"].unique().tolist() == ["timeout"]


def test_who_has_finished_is_not_late(monkeypatch):
    clock(monkeypatch)
    assert replay(TRACE, ASGD, quadratic(), arrivals=64, timeout=1.5)["status"].unique().tolist() == ["done"]
