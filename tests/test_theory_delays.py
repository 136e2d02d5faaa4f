"""Theory as an oracle, delays: sums, shares and tails against simulated traces."""

from __future__ import annotations

import numpy as np
import pytest

from asgd_lib import METHODS, clusters, simulate, theory

TIMES = (1.0, 1.5, 2.0, 5.0, 11.0)  # seconds per gradient


def trace_of(name: str, cluster, arrivals: int, **hyper):
    return simulate(cluster, METHODS[name](lr=0.1, **hyper), arrivals=arrivals)


@pytest.mark.parametrize(
    "cluster", [clusters.equal(6), clusters.straggler(6, 40), clusters.spread(6, 9), clusters.Exponential((1.0,) * 5 + (9.0,))]
)
def test_delays_sum_as_said_and_few_are_late(cluster):
    trace = trace_of("asgd", cluster, 3000)
    ages = len(trace) - trace.in_flight["read"]
    assert trace.delays.sum() + ages.sum() == theory.delay_sum(6, 3000)
    assert abs(trace.delays.mean() - theory.mean_delay(6)) == pytest.approx(ages.sum() / 3000)
    for delay in (3, 6, 12, 50):
        assert np.mean(trace.delays >= delay) <= theory.delay_tail_bound(6, delay)
    assert theory.delay_tail_bound(6, 12) < 0.5


@pytest.mark.parametrize("n", [1, 2, 5])
def test_delays_of_memoryless_workers_are_geometric(n):
    shares = theory.delay_shares_memoryless(n, 400)
    assert shares.sum() == pytest.approx(1.0, abs=1e-12)
    assert shares @ np.arange(401) == pytest.approx(theory.mean_delay(n), abs=1e-9)
    delays = trace_of("asgd", clusters.Exponential((2.0,) * n), 20_000).delays
    measured = np.bincount(delays, minlength=401)[:401] / len(delays)
    assert 0.5 * abs(measured - shares).sum() < 0.02  # 20,000 draws from these shares are some 0.01 away


def test_the_tail_bound_is_attained():
    # Two workers: while one computes, the other delivers 10 times; half of the mean delay of 1 is that one's alone.
    delays = trace_of("asgd", clusters.Fixed((1.0, 10.0)), 11_000).delays
    assert np.mean(delays >= 10) == pytest.approx(theory.delay_tail_bound(2, 10), rel=0.1)  # 1/11 against 1/10


def test_the_median_delay_is_that_of_the_fast_and_the_tail_that_of_the_straggler():
    trace = trace_of("asgd", clusters.straggler(8, 100), 10_000)
    assert np.median(trace.delays) == theory.mean_delay(7)
    assert trace.delays.max() == pytest.approx(theory.mean_delay_by_worker([1.0] * 7 + [100.0])[-1], abs=1)  # 700 arrivals of others


@pytest.mark.parametrize("seconds", [TIMES, (1.0, 2.0, 2.5)])
def test_shares_and_delays_by_worker_are_those_of_a_trace(seconds):
    trace = trace_of("asgd", clusters.Fixed(seconds), 30_000)
    counts = np.bincount(trace.worker)
    delays = np.bincount(trace.worker, trace.delays) / counts
    # Counts are floors of t / s_i: off by at most one each. A job in flight at the end shifts a worker's mean by 1 / count of its delay.
    np.testing.assert_allclose(counts, theory.arrival_shares(seconds) * len(trace), atol=2)
    np.testing.assert_allclose(delays, theory.mean_delay_by_worker(seconds), rtol=2 / counts.min())
    assert theory.arrival_shares(seconds).sum() == pytest.approx(1.0, rel=1e-14)
    weighted = theory.arrival_shares(seconds) @ theory.mean_delay_by_worker(seconds)
    assert weighted == pytest.approx(theory.mean_delay(len(seconds)), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_weights_by_delay_are_what_a_trace_shows(n):
    trace = trace_of("dude", clusters.equal(n), 20 * n)
    row_read = np.zeros(n, int)
    seen = []
    for e, (worker, read) in enumerate(zip(trace.worker, trace.read, strict=True)):
        row_read[worker] = read
        seen.append(np.bincount(e - row_read, minlength=2 * n - 1) / n)
    np.testing.assert_array_equal(seen[-1], theory.delay_weights_dude(n))
    assert len(seen[-1]) == theory.dude_tau_max(n)  # ages 0..2n-2, which are 1..2n-1 where fresh counts as 1
    np.testing.assert_array_equal(np.bincount(trace.delays[5 * n :]) / (15 * n), theory.delay_weights_asgd(n))
