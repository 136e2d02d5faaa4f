"""Phases: a worker that switches its speed does one unit of work a job; one that leaves loses its job and delivers nothing while away."""

import itertools
import math

import numpy as np
import pytest
from cases import laws
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib import METHODS, clusters, simulate

INF = float("inf")
ASGD = METHODS["asgd"](0.1)


# Switching: rate 1/fast in even phases, 1/slow in odd ones.


def work(cluster, worker, start, seconds):
    """The integral of the worker's rate from `start` on, phase by phase."""
    shift = 2 * cluster.period * worker / cluster.n if cluster.stagger else 0.0
    a, b = start + shift, start + shift + seconds
    total = 0.0
    for phase in range(int(a // cluster.period), int(b // cluster.period) + 1):
        low, high = max(a, phase * cluster.period), min(b, (phase + 1) * cluster.period)
        total += max(0.0, high - low) / (cluster.slow if phase % 2 else cluster.fast)[worker]
    return total


seconds = st.floats(0.125, 50.0)


@laws
@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=4), st.floats(0.05, 20.0), st.floats(0, 500.0), st.booleans())
def test_switching_does_one_unit_of_work_a_job(speeds, period, start, stagger):
    fast, slow = zip(*speeds, strict=True)
    cluster = clusters.Switching(fast, slow, period, stagger)
    for worker in range(cluster.n):
        taken, delivered = cluster.clock(0)(worker, 0, start)
        assert delivered and work(cluster, worker, start, taken) == pytest.approx(1.0, rel=1e-9)
        assert min(fast[worker], slow[worker]) * (1 - 1e-9) <= taken <= max(fast[worker], slow[worker]) * (1 + 1e-9)


def test_switching_against_small_steps():
    cluster = clusters.Switching((1.0, 0.5), (7.0, 4.0), period=1.7)
    step = 1e-4
    for worker, start in itertools.product(range(2), (0.0, 1.3, 2.9, 10.0)):
        done, now = 0.0, start
        while done < 1.0:
            phase = int((now + 1.7 * worker) // 1.7) % 2  # two workers: the second is half a cycle, one period, ahead
            done += step / (cluster.slow if phase else cluster.fast)[worker]
            now += step
        assert cluster.clock(0)(worker, 0, start)[0] == pytest.approx(now - start, abs=5e-4)


def test_switching_staggers_its_workers():
    # Two workers of 1 s fast and 5 s slow, phases of 10 s; worker 1 begins slow. Ends: worker 0 at 1 2 ... 10, worker 1 at 5 10 (older).
    staggered = simulate(clusters.Switching((1.0, 1.0), (5.0, 5.0)), ASGD, until=10.0)
    assert staggered.worker.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0]
    together = simulate(clusters.Switching((1.0, 1.0), (5.0, 5.0), stagger=False), ASGD, until=20.0)
    assert np.bincount(together.worker).tolist() == [12, 12]


def test_switching_crosses_thousands_of_phases_at_once():
    cluster = clusters.Switching((10_000.0,), (30_000.0,), period=0.001)
    assert cluster.clock(0)(0, 0, 0.0)[0] == pytest.approx(15_000.0, rel=1e-6)  # the harmonic mean


# Dropout


@laws
@given(st.floats(0.5, 10.0), st.floats(0.5, 10.0), st.integers(0, 1000), st.floats(0.1, 4.0))
def test_no_gradient_comes_from_a_worker_who_is_away(up, down, seed, mean):
    cluster = clusters.Dropout(clusters.Exponential((mean, 2 * mean)), up, down)
    trace = simulate(cluster, ASGD, until=40.0, seed=seed)
    clock = clusters.Dropout(clusters.Fixed((1e-9,) * 2), up, down).clock(seed)  # probes: present means at once
    for rows, whole in ((trace.frame(), True), (trace.lost[np.isfinite(trace.lost["end"])], False)):
        for worker, start, end in zip(rows["worker"], rows["start"], rows["end"], strict=True):
            wait, _ = clock(int(worker), 0, float(start))
            begin = start + max(0.0, wait - 1e-9)  # a job handed to an absent worker waits
            middle = [begin + f * (end - begin) for f in (1e-6, 0.25, 0.5, 0.75, 1 - 1e-6)]
            here = [clock(int(worker), 0, t)[0] < 2e-9 for t in middle if end - begin > 1e-3]
            assert all(here) if whole else not here or not here[-1]


def test_dropout_share_of_time_and_losses():
    # Up 30 s, down 10 s on average: there 3/4 of the time; a job of 3 s survives with exp(-3/30).
    cluster = clusters.Dropout(clusters.Fixed((3.0,) * 50), 30.0, 10.0)
    trace = simulate(cluster, ASGD, until=3000.0)
    gone = trace.lost[np.isfinite(trace.lost["end"])]
    jobs = len(trace) + len(gone)
    survive = math.exp(-0.1)
    assert abs(len(trace) / jobs - survive) < 4 * (survive * (1 - survive) / jobs) ** 0.5
    # One absence of 10 s for each loss; between losses stays of 30 s: losses a second and worker 1/40.
    assert len(gone) == pytest.approx(50 * 3000 / 40, rel=0.05)
    assert (gone["end"] - gone["start"]).mean() > 10.0


def test_who_leaves_for_good_never_answers_again():
    cluster = clusters.Dropout(clusters.equal(6), 20.0, INF)
    trace = simulate(cluster, ASGD, until=1000.0, seed=2)
    assert trace.end[-1] < 400 and len(trace.in_flight) == len(trace.lost) == 6
    with pytest.raises(ValueError, match=r"Only \d+ of 5000 arrivals can happen"):
        simulate(cluster, ASGD, arrivals=5000, seed=2)


def test_dropout_that_never_strikes_changes_nothing():
    base = clusters.Exponential((1.0, 2.0))
    assert simulate(clusters.Dropout(base, 1e12, 1.0), ASGD, arrivals=100) == simulate(base, ASGD, arrivals=100)


@pytest.mark.parametrize("seconds", ["5,3", "5,5"])
def test_a_recording_whose_clock_went_back_or_stood_still_is_a_sentence(seconds, tmp_path):
    (tmp_path / "times.csv").write_text(f"worker,start,end\n1,1,2\n0,{seconds}\n")
    with pytest.raises(ValueError, match=r"In row 1 of the recording, .* of worker 0 takes -?\d s; all must .* a clock went back"):
        clusters.FromTrace(tmp_path / "times.csv")
