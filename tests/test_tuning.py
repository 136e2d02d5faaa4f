"""The border of stability and the tuned cost of a target, each found from sweeps, against values known otherwise."""

import numpy as np
import pandas as pd
import pytest
import torch

from asgd_lib import METHODS, clusters, history, problems, replay, simulate, theory
from asgd_lib.critical import critical_lr
from asgd_lib.sweep import batches


@pytest.mark.parametrize("n", [2, 3, 5])
def test_critical_lr_is_the_closed_form_of_asgd(n):
    found = critical_lr(clusters.equal(n), METHODS["asgd"])
    assert found == pytest.approx(theory.critical_step_asgd(n), rel=0.005)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_critical_lr_is_the_closed_form_of_dude_whose_converged_runs_keep_rounding_errors(n):
    found = critical_lr(clusters.equal(n), METHODS["dude"])
    assert found == pytest.approx(theory.critical_step_dude(n), rel=0.005)


def test_critical_lr_of_minibatch_sgd_is_two():
    assert critical_lr(clusters.equal(3), METHODS["sgd_minibatch"]) == pytest.approx(2.0, rel=0.005)


@pytest.mark.parametrize("low, high, word", [(0.01, 0.1, "larger"), (1.9, 2.5, "smaller")])
def test_a_grid_without_the_border_is_refused(low, high, word):
    with pytest.raises(ValueError, match=f"try {word} ones"):
        critical_lr(clusters.equal(3), METHODS["asgd"], low=low, high=high, arrivals=300)


def made_up(reached):
    """A history of one method: step size -> for each seed the arrival at which the loss falls from 1 to 0 (None: never)."""
    rows = [
        (run, "m", lr, seed, float(a), a, float(hit is not None and a >= hit), "done")
        for run, (lr, seed, hit) in enumerate((lr, s, h) for lr, hits in reached.items() for s, h in enumerate(hits))
        for a in range(0, 60, 10)
    ]
    table = pd.DataFrame(rows, columns=["run", "method", "lr", "seed", "time", "arrivals", "loss", "status"])
    return table.assign(loss=1 - table["loss"], time=2 * table["time"])


def test_tuned_time_to_charges_each_its_best_step():
    tuned, edge, lost = (
        made_up(hits)
        for hits in ({0.1: (40, 50), 0.2: (20, 30), 0.4: (None, 10)}, {0.1: (50, 50), 0.2: (40, 40)}, {0.1: (None, 10), 0.2: (None, 10)})
    )
    costs, curves, untuned = history.tuned_time_to({"tuned": tuned, "edge": edge, "lost": lost}, 0.5, clock="arrivals")
    assert costs["tuned"].tolist() == [20, 30] and costs["edge"].tolist() == [40, 40]
    assert untuned == ["edge", "lost"]
    assert set(curves.loc[curves["method"] == "tuned", "lr"]) == {0.2}
    assert history.tuned_time_to({"tuned": tuned}, 0.5)[0]["tuned"].tolist() == [40, 60]
    assert np.isinf(costs["lost"]).any()


def test_tuned_final_is_what_the_best_step_ends_with():
    assert history.tuned_final(made_up({0.1: (None, 10), 0.2: (20, 30), 0.4: (None, None)})).tolist() == [0, 0]
    early = made_up({0.1: (0, 10), 0.2: (20, 30)})
    assert history.tuned_final(early, arrivals=10).tolist() == [0, 0]
    assert history.tuned_final(early, arrivals=9).tolist() == [0, 1]


def test_batches_are_the_histories_that_each_label_has_alone():
    bowl = problems.Quadratic(torch.ones(3, 2), torch.ones(3, 2), sigma=1.0)
    cluster = clusters.straggler(3, 4)
    groups = {"waits": [METHODS["sgd_minibatch"](lr) for lr in (0.1, 0.2)], "runs": [METHODS["asgd"](lr) for lr in (0.1, 0.2)]}
    histories = batches(groups, cluster, bowl, arrivals=30, seeds=[1, 2], every=10)
    for label, group in groups.items():
        alone = replay(simulate(cluster, group[1], arrivals=30), group[1], bowl, seeds=[1, 2], every=10)
        rows = histories[label].query("lr == 0.2").drop(columns="run").reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, alone.drop(columns="run"), check_like=True)
    with pytest.raises(ValueError, match="one policy"):
        batches({"both": [METHODS["asgd"](0.1), METHODS["sgd_minibatch"](0.1)]}, cluster, bowl, arrivals=30, every=10)
