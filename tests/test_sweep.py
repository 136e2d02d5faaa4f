"""A race of methods: what each run of it would be alone."""

import pandas as pd
import pytest
import torch

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.problems import Quadratic
from asgd_lib.sweep import race


def workers(seed):
    return clusters.Exponential((1.0, 2.0, 4.0 + seed))


def bowl(seed):
    return Quadratic(torch.ones(3, 2), torch.full((3, 2), float(seed)), sigma=1.0)


def test_each_run_is_the_one_that_the_method_has_alone():
    names, lrs = ["asgd", "dude", "sgd_minibatch", "asgd_random"], [0.01, 0.1]
    table = race(names, lrs, workers, bowl, until=50.0, seeds=[3, 5])
    assert table["run"].nunique() == len(names) * len(lrs) * 2
    for name in names:
        for seed in (3, 5):
            method = METHODS[name](0.1)
            trace = simulate(workers(seed), method, until=50.0, seed=seed)
            alone = replay(trace, method, bowl(seed), seeds=[seed], every=-(-len(trace) // 6))
            rows = table[(table["method"] == name) & (table["seed"] == seed) & (table["lr"] == 0.1)]
            columns = ["time", "arrivals", "updates", "used", "loss", "grad_norm_sq", "status"]
            pd.testing.assert_frame_equal(rows[columns].reset_index(drop=True), alone[columns])
            assert 6 <= len(rows) <= 8


def test_no_run_goes_beyond_the_end_and_greedy_ones_come_near_it():
    table = race(["asgd", "sgd_minibatch"], [0.1], workers, bowl, until=50.0, seeds=[0])
    last = table.groupby("method")["time"].max()
    assert (last <= 50.0).all()
    assert last["asgd"] > 45.0


def test_a_race_too_short_for_anybody_to_arrive_is_a_start_without_a_run():
    table = race(["sgd_minibatch"], [0.1], lambda seed: clusters.equal(3, 10.0), bowl, until=5.0)
    assert table["arrivals"].tolist() == [0]


def test_senseless_numbers_are_refused():
    with pytest.raises(ValueError, match="until"):
        race(["asgd"], [0.1], workers, bowl, until=0.0)
    with pytest.raises(ValueError, match="lrs"):
        race(["asgd"], [0.1, -1.0], workers, bowl, until=1.0)
    with pytest.raises(KeyError, match="no method"):
        race(["nonsense"], [0.1], workers, bowl, until=1.0)
