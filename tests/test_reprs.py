"""What a notebook shows of an object by itself fits a line and says what one would ask."""

import torch

import asgd_lib as asgd
from asgd_lib.distributed.session import Served


def test_problems_results_and_the_table_say_what_they_are_in_a_line():
    A = torch.tensor([[1.0, 0.25], [1.0, 0.5]], dtype=torch.float64)
    assert repr(asgd.problems.Quadratic(A, A, sigma=0.5)) == "Quadratic(2 workers, d = 2, sigma = 0.5, L = 1, mu = 0.375)"
    X, y, *_ = asgd.data.load("digits")
    parts = asgd.partition.iid(y, 4)
    assert repr(asgd.problems.Softmax(X, y, parts, batch=8)) == f"Softmax({len(y):,} samples, 4 workers, d = 650, batch 8)"
    trace = asgd.simulate(asgd.clusters.equal(2), asgd.METHODS["asgd"](lr=0.1), arrivals=3)
    assert repr(Served(trace, torch.zeros(5), 2, 1.25, 0.1)) == "Served(3 arrivals, 2 used, n = 2, d = 5, 1.25 s)"
    assert repr(asgd.METHODS).startswith(f"{len(asgd.METHODS)} methods: sgd_minibatch, asgd, ")
