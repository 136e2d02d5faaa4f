"""The virtual iterate against its recursion, gradient by gradient."""

import pytest
import torch

from asgd_lib import METHODS, clusters, problems, simulate
from asgd_lib.virtual import landed, virtual_iterate

CLUSTER = clusters.straggler(3, 7)
ASGD = METHODS["asgd"](0.1)


def bowl():
    return problems.Quadratic(torch.ones(3, 4), torch.arange(12.0).view(3, 4), sigma=1.0)


def test_landed_appends_every_job_in_flight_once():
    trace = simulate(CLUSTER, ASGD, arrivals=11)
    whole = landed(trace)
    assert len(whole) == 11 + 3 and not len(whole.lost)
    assert set(whole.job.tolist()) == set(range(14))
    assert (whole.end[11:] == trace.end[-1]).all() and (whole.read[:11] == trace.read).all()


@pytest.mark.parametrize("arrivals", [1, 6, 20])
def test_virtual_iterate_makes_a_plain_sgd_step_for_each_job_handed_out(arrivals):
    problem, seeds = bowl(), [2, 5]
    (x, y), (x_next, y_next) = (virtual_iterate(simulate(CLUSTER, ASGD, arrivals=arrivals + k), ASGD, problem, seeds=seeds) for k in (0, 1))
    new = simulate(CLUSTER, ASGD, arrivals=arrivals + 1).in_flight[-1:]
    step = problem.grad(x_next[None], torch.tensor(new["worker"]), torch.tensor(new["job"]), torch.tensor(seeds))[0]
    assert torch.allclose(y_next, y - 0.1 * step, rtol=0, atol=1e-13)
    assert not torch.allclose(x, y)
