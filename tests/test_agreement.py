"""How well two runs agree: bits, rows and delays are compared as they should be."""

import numpy as np
import pytest
import torch

from asgd_lib import METHODS, Trace, clusters, simulate
from asgd_lib.agreement import delay_distance, differing, differing_rows, excess_delay_distance


def run(cluster, seed: int = 0, arrivals: int = 300) -> Trace:
    return simulate(cluster, METHODS["asgd"](lr=0.1), arrivals=arrivals, seed=seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_differing_counts_bits(dtype):
    x = torch.tensor([1.0, 0.0, float("nan"), 2.0], dtype=dtype)
    assert differing(x, x.clone()) == 0
    assert differing(x, torch.tensor([1.0, -0.0, float("nan"), 2.0], dtype=dtype)) == 1
    y = x.clone()
    y[0] = torch.nextafter(y[0], y[3])
    assert differing(x, y) == 1 and differing(x.flip(0), y) == 4


def test_models_without_common_bits_are_refused():
    with pytest.raises(ValueError, match="one shape and format"):
        differing(torch.zeros(2), torch.zeros(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="one shape and format"):
        differing(torch.zeros(2), torch.zeros(3))


def test_rows_differ_by_who_computed_on_what():
    fast, slow = run(clusters.Fixed((1.0, 2.5))), run(clusters.Fixed((2.0, 5.0)))
    assert differing_rows(fast, slow) == 0 and differing_rows(fast, slow, columns=["end"]) == len(fast)
    longer = run(clusters.Fixed((1.0, 2.5)), arrivals=340)
    assert differing_rows(fast, longer) == 40 == differing_rows(longer, fast) and differing_rows(fast, longer, first=300) == 0
    other = run(clusters.Fixed((1.0, 2.25)))
    by_hand = ((fast.worker != other.worker) | (fast.read != other.read)).sum()
    assert 0 < differing_rows(fast, other) == by_hand
    assert differing_rows(fast, other, first=2) == 0  # twice worker 0, on models 0 and 1
    with pytest.raises(ValueError, match="columns must be some of job, worker, read, start, end; got delay"):
        differing_rows(fast, slow, columns=["delay"])


def test_distance_is_between_0_and_1_and_counts_shares():
    assert delay_distance([0, 1, 1, 5], [0, 0, 1, 1, 1, 1, 5, 5]) == 0.0
    assert delay_distance([0, 1], [2, 3]) == 1.0
    assert delay_distance([0, 0, 0, 1], [0, 1, 1, 1]) == 0.5
    in_turn, alone = run(clusters.equal(3)), run(clusters.straggler(3, 1e6))
    assert delay_distance(in_turn, in_turn.delays) == 0.0 == delay_distance([in_turn, in_turn], in_turn)
    # In turn all delays are 2 (the first two 0 and 1); two workers in turn have delay 1.
    assert delay_distance(in_turn, alone) == pytest.approx(298 / 300)


@pytest.mark.parametrize("delays", [[], [-1], [0.5], [[1]]])
def test_what_is_no_delay_is_refused(delays):
    with pytest.raises(ValueError, match="Delays must be"):
        delay_distance(delays, [0])


def test_excess_distance_is_about_one_for_the_same_cluster_and_more_for_another():
    cluster = clusters.Exponential((1.0,) * 4)
    simulated = [run(cluster, seed) for seed in range(100, 130)]
    same = excess_delay_distance([run(cluster, seed) for seed in range(20)], simulated)
    other = excess_delay_distance([run(clusters.LogNormal((1.0,) * 4, 0.3), seed) for seed in range(20)], simulated)
    assert same.shape == (20,) and abs(same.mean() - 1) < 0.1 and other.min() > 1.5
    twice = excess_delay_distance([simulated[0]], simulated[:2])  # itself and one other: half of the distance between the two
    assert twice == pytest.approx([0.5])
    with pytest.raises(ValueError, match="At least two simulated"):
        excess_delay_distance(simulated, simulated[:1])
    with pytest.raises(ValueError, match="the same delays"):
        excess_delay_distance(simulated, [run(clusters.equal(4))] * 2)


def test_distances_are_plain_numbers():
    assert isinstance(delay_distance([0], np.array([0, 1])), float)
