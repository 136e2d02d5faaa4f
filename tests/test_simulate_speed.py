"""The simulator's short cut for workers that never wait: the general loop's trace, bit by bit, in less time and bounded memory."""

import math
import time
import tracemalloc

from cases import any_cluster
from hypothesis import given, settings
from hypothesis import strategies as st

from asgd_lib import METHODS, Method, clusters, simulate, simulator
from asgd_lib.policies import Greedy
from asgd_lib.rules import SGD

ASGD = METHODS["asgd"](0.1)


class Asked(Greedy):
    """Greedy, but the simulator does not know it and asks at every arrival."""


def same(one, other) -> bool:
    return one == other and one.lost.tobytes() == other.lost.tobytes()


@given(any_cluster(), st.integers(1, 80), st.one_of(st.just(math.inf), st.floats(0.0, 40.0)), st.integers(0, 9))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_short_cut_makes_the_general_loops_trace(cluster, arrivals, until, seed):
    bounds = {"arrivals": arrivals, "until": until, "seed": seed}
    assert same(simulate(cluster, ASGD, **bounds), simulate(cluster, Method(Asked(), SGD(0.1)), **bounds))


@given(st.floats(0.5, 30.0), st.floats(0.1, 10.0), st.booleans(), st.integers(0, 9))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_also_where_workers_leave(up, down, forever, seed):
    cluster = clusters.Dropout(clusters.Exponential((1.0, 2.0, 4.0)), up, math.inf if forever else down)
    assert same(*(simulate(cluster, m, until=40.0, seed=seed) for m in (ASGD, Method(Asked(), SGD(0.1)))))


def test_silent_workers_stop_both_loops_alike(monkeypatch):
    monkeypatch.setattr(simulator, "_PATIENCE", 50)
    cluster = clusters.Dropout(clusters.Fixed((10.0, 10.0)), 1e-3, 1e-3)
    for method in (ASGD, Method(Asked(), SGD(0.1))):
        try:
            simulate(cluster, method, arrivals=5)
        except ValueError as error:
            assert "Only 0 of 5 arrivals can happen" in str(error)
        else:
            raise AssertionError("nobody noticed that the workers are silent")


def test_an_arrival_costs_microseconds_and_a_few_hundred_bytes():
    cluster, arrivals = clusters.Exponential((1.0,) * 1000), 100_000
    start = time.process_time()
    simulate(cluster, ASGD, arrivals=arrivals)
    assert time.process_time() - start < 2.0  # 0.4 s on an idle machine; a busy one takes twice as long
    cluster = clusters.Exponential((1.0,) * 100)  # so few that all of them keep as many draws as they ever will
    tracemalloc.start()
    try:
        simulate(cluster, ASGD, arrivals=20_000)
        used = [tracemalloc.get_traced_memory()[1]]
        simulate(cluster, ASGD, arrivals=40_000)
        used.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert used[1] - used[0] < 20_000 * 500
