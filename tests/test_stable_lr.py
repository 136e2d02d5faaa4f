"""The border of stability, found from a sweep, against closed forms."""

import numpy as np
import pytest
import torch

from asgd_lib import METHODS, clusters, history, problems, replay, simulate, theory


def border(name, n, low, high, arrivals=1200):
    unit = problems.Quadratic(torch.ones(n, 1), torch.zeros(n, 1), x0=torch.ones(1))
    methods = [METHODS[name](lr) for lr in np.geomspace(low, high, 25)]
    trace = simulate(clusters.equal(n), methods[0], arrivals=arrivals)
    return history.stable_lr(replay(trace, methods, unit, every=10))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_stable_lr_brackets_the_closed_form_of_asgd(n):
    exact = theory.critical_step_asgd(n)
    low, high = border("asgd", n, 0.5 * exact, 1.9 * exact)
    assert 0.99 * low < exact < 1.01 * high
    assert high / low < 1.06


def test_stable_lr_brackets_two_for_minibatch_sgd():
    low, high = border("sgd_minibatch", 3, 0.5, 3.9)
    assert low < 2.0 < high


@pytest.mark.parametrize("low, high, word", [(0.01, 0.1, "larger"), (1.9, 2.5, "smaller")])
def test_a_grid_without_the_border_is_refused(low, high, word):
    with pytest.raises(ValueError, match=f"try {word} ones"):
        border("asgd", 3, low, high)
