"""Traces: what makes one valid, and files that are whole or refused."""

import json
import os
import pickle
import zipfile

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


SIMULATED = simulate(clusters.Dropout(clusters.Exponential((1.0, 2.0, 4.0)), 9.0, 3.0), METHODS["asgd_random"](0.1), arrivals=60, seed=1)


def test_a_valid_trace_is_taken_as_it_is():
    trace = Trace(**columns())
    assert len(trace) == 3 and trace.lost.dtype == LOST and len(trace.lost) == 0
    assert trace.delays.tolist() == [0, 1, 1]
    assert trace.frame().to_dict("list") == {k: v for k, v in columns().items() if k != "n"} | {"delay": [0, 1, 1]}
    assert len(Trace(2, [], [], [], [], [])) == 0


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


@pytest.mark.parametrize("trace", [SIMULATED, Trace(**columns()), Trace(5, [], [], [], [], [], meta={"a": "é\n'\""})], ids=len)
def test_a_saved_trace_loads_bit_by_bit(trace, tmp_path):
    path = tmp_path / "deep" / "trace.npz"
    trace.save(path)
    trace.save(str(path))  # overwrites
    again = Trace.load(path)
    assert again == trace and again.meta == dict(trace.meta) and again.n == trace.n
    assert [a.dtype for a in (again.job, again.start, again.lost)] == [a.dtype for a in (trace.job, trace.start, trace.lost)]
    assert os.listdir(path.parent) == ["trace.npz"]


def test_equal_traces_are_equal_files(tmp_path):
    for name in ("a", "b"):
        SIMULATED.save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "trace.npz"
    SIMULATED.save(path)
    kept = path.read_bytes()

    def half(file, **_):
        file.write(b"PK half a file")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(OSError, match="disk full"):
        Trace(**columns()).save(path)
    with pytest.raises(OSError, match="disk full"):
        Trace(**columns()).save(tmp_path / "new.npz")
    assert os.listdir(tmp_path) == ["trace.npz"] and path.read_bytes() == kept


def refused(path):
    with pytest.raises(ValueError, match=r"trace.*\.$") as caught:
        Trace.load(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) > len(str(path)) + 30


def test_no_file_is_told_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no trace file at .*; save one with trace.save\(path\)\."):
        Trace.load(tmp_path / "none.npz")


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "trace.npz"
    SIMULATED.save(path)
    whole = path.read_bytes()
    for size in (0, 1, 4, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path)
    path.write_bytes(b"job,worker\n0,1\n")
    refused(path)
    refused(tmp_path)  # a folder


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    """Each byte damaged in turn: the file is refused in a sentence, or what it holds is untouched (paddings, dates, attributes)."""
    path = tmp_path / "trace.npz"
    SIMULATED.save(path)
    whole = path.read_bytes()
    refusals, places = 0, range(0, len(whole), 3)
    for i in places:
        path.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
        try:
            again = Trace.load(path)
        except ValueError as error:
            assert str(path) in str(error)
            refusals += 1
        else:
            assert again == SIMULATED and again.meta == SIMULATED.meta
    assert refusals > 0.7 * len(places)


def rewrite(path, **changes):
    """A trace file with other arrays in it."""
    SIMULATED.save(path)
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})


def header(**changes):
    return np.array(json.dumps({"schema": "1", "n": 3, "meta": {}} | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"header": header(schema="2")},
        {"header": header(schema=None)},
        {"header": header(n="many")},
        {"header": header(n=1)},  # workers 1 and 2 do not exist
        {"header": header(meta=[1])},
        {"header": np.array("{")},
        {"header": np.array("[1, 2]")},
        {"header": np.array(3.0)},
        {"header": None},
        {"end": None},
        {"end": np.zeros(3)},
        {"lost": None},
        {"lost": np.zeros(4)},
        {"worker": np.array(["a"] * 60)},
        {"worker": np.array([0.5] * 60)},
        {"end": -SIMULATED.end},
    ],
    ids=lambda changes: f"{next(iter(changes))}: {next(iter(changes.values()))}"[:50],
)
def test_whole_files_with_something_else_in_them_are_refused(changes, tmp_path):
    path = tmp_path / "trace.npz"
    rewrite(path, **changes)
    refused(path)


def test_another_version_says_which(tmp_path):
    path = tmp_path / "trace.npz"
    rewrite(path, header=header(schema="2"))
    with pytest.raises(ValueError, match="schema '2'; this version reads schema '1'"):
        Trace.load(path)


class Bomb:
    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


def test_pickles_are_never_opened(tmp_path):
    path = tmp_path / "trace.npz"
    for write in (lambda: rewrite(path, end=np.array([Bomb()] * 60, object)), lambda: path.write_bytes(pickle.dumps(Bomb()))):
        write()
        refused(path)
    SIMULATED.save(path)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("job.npy", pickle.dumps(Bomb()))
    refused(path)
    assert not Bomb.exploded


def test_a_plain_numpy_array_is_no_trace(tmp_path):
    path = tmp_path / "trace.npz"
    with open(path, "wb") as file:
        np.save(file, np.arange(5))
    refused(path)
