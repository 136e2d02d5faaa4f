"""The average over iterations that the theorems speak of, from checkpoints."""

import pandas as pd
import pytest
import torch

from asgd_lib import METHODS, clusters, history, problems, replay, simulate


def test_it_is_the_area_of_trapezoids_over_the_clock_run_by_run():
    table = pd.DataFrame({"run": [0, 0, 0, 1, 1], "updates": [0, 2, 6, 0, 4], "loss": [4.0, 2.0, 0.0, 8.0, 0.0]})
    mean = history.running_mean(table, "loss")["mean_loss"].tolist()
    assert mean == [4.0, 3.0, (2 * 3.0 + 4 * 1.0) / 6, 8.0, 4.0]
    assert "mean_loss" not in table


def test_while_the_clock_stands_still_it_is_the_metric_itself():
    table = pd.DataFrame({"run": 0, "updates": [0, 0, 2], "time": [0.0, 1.0, 3.0], "loss": [4.0, 4.0, 2.0]})
    assert history.running_mean(table, "loss")["mean_loss"].tolist() == [4.0, 4.0, 3.0]
    assert history.running_mean(table, "loss", clock="time")["mean_loss"].tolist() == [4.0, 4.0, 10.0 / 3.0]


def test_it_agrees_with_the_closed_form_of_gradient_descent():
    lr, steps = 0.01, 400
    one = torch.ones(1, 1)
    method = METHODS["asgd"](lr)
    trace = simulate(clusters.equal(1), method, arrivals=steps)
    table = history.running_mean(replay(trace, method, problems.Quadratic(one, 0 * one, x0=one[0]), every=1))
    q = (1 - lr) ** 2
    assert table["mean_grad_norm_sq"].iloc[-1] == pytest.approx((1 - q**steps) / (1 - q) / steps, rel=0.01)
