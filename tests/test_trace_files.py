"""Trace files: whole or absent, and refused in a sentence where anything in them is not what was saved."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from asgd_lib import METHODS, Trace, clusters, simulate

SIMULATED = simulate(clusters.Dropout(clusters.Exponential((1.0, 2.0, 4.0)), 9.0, 3.0), METHODS["asgd_random"](0.1), arrivals=60, seed=1)
SMALL = Trace(2, [0, 1, 2], [0, 1, 0], [0, 0, 1], [0.0, 0.0, 1.0], [1.0, 2.0, 2.0])


@pytest.mark.parametrize("trace", [SIMULATED, SMALL, Trace(5, [], [], [], [], [], meta={"a": "é\n'\""})], ids=len)
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
        SMALL.save(path)
    with pytest.raises(OSError, match="disk full"):
        SMALL.save(tmp_path / "new.npz")
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
