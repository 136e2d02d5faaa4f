"""The border of stability and the tuned cost of a target, each found from sweeps, against values known otherwise."""

import numpy as np
import pandas as pd
import pytest

from asgd_lib import METHODS, clusters, history, theory
from asgd_lib.critical import critical_lr


@pytest.mark.parametrize("n", [2, 3, 5])
def test_critical_lr_is_the_closed_form_of_asgd(n):
    found = critical_lr(clusters.equal(n), METHODS["asgd"])
    assert found == pytest.approx(theory.critical_step_asgd(n), rel=0.005)


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
