"""Traces: what makes one valid, what makes two equal."""

import pickle

import numpy as np
import pytest
from cases import any_cluster, laws
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib import METHODS, Trace, clusters, simulate
from asgd_lib.trace import LOST

NAN, INF = float("nan"), float("inf")


def columns(**changes):
    """Three arrivals of two workers, and a change."""
    good = {"n": 2, "job": [0, 1, 2], "worker": [0, 1, 0], "read": [0, 0, 1], "start": [0.0, 0.0, 1.0], "end": [1.0, 2.0, 2.0]}
    return good | changes


def lost(*rows):
    return np.array(list(rows), LOST)


def test_a_valid_trace_is_taken_as_it_is():
    trace = Trace(**columns())
    assert len(trace) == 3 and trace.lost.dtype == LOST and len(trace.lost) == 0
    assert trace.delays.tolist() == [0, 1, 1]
    assert trace.frame().to_dict("list") == {k: v for k, v in columns().items() if k != "n"} | {"delay": [0, 1, 1]}
    assert len(Trace(2, [], [], [], [], [])) == 0
    assert len(Trace(**columns(start=[1.0, 0.0, 2.0]))) == 3  # a job may take no time at all


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": 0}, "at least one worker; got n = 0"),
        ({"n": 2.0}, "at least one worker; got n = 2.0"),
        ({"n": True, "worker": [0, 0, 0]}, "at least one worker; got n = True"),
        ({"worker": [0, 2, 0]}, r"row 1 names a worker outside 0\.\.1"),
        ({"worker": [0, 1, -1]}, r"row 2 names a worker outside 0\.\.1"),
        ({"worker": [0, 0.5, 1]}, "column `worker` must hold whole numbers"),
        ({"worker": ["a", "b", "c"]}, "column `worker` must hold whole numbers"),
        ({"read": [0, 2, 1]}, "in row 1 `read` is negative or later than the arrival itself"),
        ({"read": [0, 0, -1]}, "in row 2 `read` is negative"),
        ({"read": [0, NAN, 1]}, "column `read` must hold whole numbers"),
        ({"read": np.array([0, NAN, 1])}, "column `read` must hold whole numbers"),
        ({"start": [0.0, -0.1, 1.0]}, "row 1 does not satisfy 0 <= start <= end < inf"),
        ({"start": [0.0, NAN, 1.0]}, "row 1 does not satisfy"),
        ({"start": [0.0, 2.5, 1.0]}, "row 1 does not satisfy"),
        ({"start": [None, 0.0, 1.0]}, "does not satisfy|must hold numbers"),
        ({"start": ["a", 0.0, 1.0]}, "column `start` must hold numbers"),
        ({"end": [1.0, 2.0, INF]}, "row 2 does not satisfy"),
        ({"end": [1.0, NAN, 2.0]}, "row 1 does not satisfy"),
        ({"end": [1.0, 2.0, 1.5]}, "row 2 arrives before the row above it"),
        ({"job": [0, 1, 1]}, "two rows carry the same job number"),
        ({"job": [0, 1, -3]}, "job numbers must not be negative"),
        ({"job": [0, 1, 2**63]}, "column `job` must hold whole numbers"),
        ({"job": np.array([0, 1, 2**63], np.uint64)}, "column `job` must hold whole numbers"),
        ({"job": [0, 1]}, r"column `worker` has shape \(3,\); all columns must have shape \(2,\)"),
        ({"end": [[1.0], [2.0], [2.0]]}, r"column `end` has shape \(3, 1\)"),
        ({"job": [[0, 1], [2]]}, "column `job` must hold whole numbers"),
        ({"lost": np.zeros(2)}, "`lost` must be a vector of fields job, worker, read, start, end"),
        ({"lost": lost((3, 1, 0, 1.0, INF)).reshape(1, 1)}, "`lost` must be a vector"),
        ({"lost": lost((2, 1, 0, 1.0, INF))}, "two rows carry the same job number"),
        ({"lost": lost((3, 2, 0, 1.0, INF))}, r"row 0 of `lost` names a worker outside 0\.\.1"),
        ({"lost": lost((3, 1, 4, 1.0, INF))}, "in row 0 of `lost` `read` is negative or later than the last arrival"),
        ({"lost": lost((3, 1, 0, 1.0, INF), (4, 1, 0, 2.0, 1.0))}, "row 1 of `lost` ends before it starts, or at no time"),
        ({"lost": lost((3, 1, 0, 1.0, NAN))}, "row 0 of `lost` ends before it starts, or at no time"),
    ],
)
def test_an_invalid_trace_is_refused_in_a_sentence(change, says):
    with pytest.raises(ValueError, match=rf"^Not a valid trace: .*({says}).*\.$"):
        Trace(**columns(**change))


def test_columns_are_copies_that_nobody_can_write():
    job = np.array([0, 1, 2])
    trace = Trace(**columns(job=job, lost=lost((3, 1, 0, NAN, INF))))
    job[0] = 7
    assert trace.job[0] == 0
    for column in (trace.job, trace.worker, trace.read, trace.start, trace.end, trace.lost):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = column[0]
    with pytest.raises(AttributeError):
        trace.n = 3


def test_equality_is_of_every_column_and_of_losses():
    one = Trace(**columns(lost=lost((3, 1, 0, NAN, INF))))
    assert one == Trace(**columns(lost=lost((3, 1, 0, NAN, INF)), meta={"seed": "1"}))  # a queued job never began: start is NaN
    for change in ({"n": 3}, {"job": [0, 1, 9]}, {"worker": [0, 1, 1]}, {"read": [0, 0, 0]}, {"start": [0.0, 0.5, 1.0]},
                   {"end": [1.0, 2.0, 3.0]}, {"lost": lost((3, 0, 0, NAN, INF))}, {"lost": lost()}):  # fmt: skip
        assert Trace(**columns(lost=one.lost) | change) != one
    assert one != "a trace"


@laws
@given(cluster=any_cluster(), name=st.sampled_from(["asgd", "asgd_random", "mifa"]), until=st.floats(0, 20))
def test_pickle_keeps_a_trace(cluster, name, until):
    trace = simulate(cluster, METHODS[name](0.1), until=until)
    again = pickle.loads(pickle.dumps(trace))
    assert again == trace and again.meta == trace.meta


def test_a_trace_is_shown_in_one_line():
    trace = simulate(clusters.Fixed((1.0, 2.0)), METHODS["asgd"](lr=0.1), arrivals=3)
    assert repr(trace) == "Trace(n=2, arrivals=3, lost=0, in_flight=2)"
