"""The best step sizes of a sweep: means and intervals by hand, and a warning at the edge of the grid."""

import numpy as np
import pandas as pd
import pytest

from asgd_lib.intervals import interval
from asgd_lib.tuning import tuned

SEEDS = (0, 1, 2)


def table(losses, method="asgd", cluster="even", first=0):
    """Histories of two checkpoints, at 0 s with loss 8 and at 10 s with `losses[lr][seed]`."""
    rows = []
    for i, (lr, values) in enumerate(losses.items()):
        for j, value in enumerate(values):
            run = first + i * len(values) + j
            status = "done" if np.isfinite(value) else "diverged"
            rows += [(cluster, run, method, lr, SEEDS[j], t, int(t), loss, status) for t, loss in ((0.0, 8.0), (10.0, value))]
    return pd.DataFrame(rows, columns=["cluster", "run", "method", "lr", "seed", "time", "arrivals", "loss", "status"])


def test_the_best_step_size_its_mean_and_its_interval():
    best = tuned(table({0.1: [4, 5, 6], 0.2: [1, 2, 3], 0.4: [0, 0, np.inf]}))
    assert best[["cluster", "method", "lr", "value", "seeds", "edge"]].values.tolist() == [["even", "asgd", 0.2, 2.0, 3, False]]
    assert tuple(best[["low", "high"]].iloc[0]) == pytest.approx(interval([1, 2, 3])[1:])


def test_each_cluster_is_tuned_by_itself_and_time_may_be_the_score():
    one = table({0.1: [4, 5, 6], 0.2: [1, 2, 3], 0.4: [7, 7, 7]})
    other = table({1: [4, 4, 4], 2: [3, 3, 3], 3: [5, 5, 5]}, "dude", "wild", first=9)
    best = tuned(pd.concat([one, other]), target=3.0)
    assert best[["cluster", "lr", "value", "low", "high"]].values.tolist() == [["even", 0.2, 10, 10, 10], ["wild", 2, 10, 10, 10]]


def test_a_best_value_at_the_edge_is_warned_of():
    with pytest.warns(UserWarning, match="best step size of asgd is the smallest or largest of its grid"):
        assert tuned(table({0.1: [4, 5, 6], 0.2: [1, 2, 3]}))["edge"].tolist() == [True]


def test_one_seed_has_no_interval():
    best = tuned(table({0.1: [4], 0.2: [1], 0.4: [2]}))
    assert best["lr"].tolist() == [0.2] and best[["low", "high"]].isna().all(axis=None)
