"""A sweep: each run is the one it would be alone, nothing is computed twice, and a killed sweep goes on to the same table."""

import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
import torch
from joblib import parallel_config, register_parallel_backend
from joblib.parallel import ThreadingBackend

import asgd_lib
from asgd_lib import METHODS, cache, clusters, fingerprint, replay, simulate
from asgd_lib.problems import Quadratic, SmallCNN
from asgd_lib.sweep import grid, sweep, variants

CLUSTERS = {"even": clusters.Fixed((1.0, 1.0, 2.0)), "wild": clusters.Exponential((1.0, 2.0, 9.0))}
PROBLEMS = {name: Quadratic(torch.ones(3, 2), torch.full((3, 2), b), sigma=1.0) for name, b in (("near", 1.0), ("far", 5.0))}
METHODS_ = [
    *variants("asgd", lr=[0.1, 0.2]),
    *variants("dude", lr=[0.1], n_arrivals=[1, 2]),
    *variants("ormo", lr=[0.1], momentum=[0.5, 0.9]),
]


def small(**change):
    return sweep(**{"methods": METHODS_, "clusters": CLUSTERS, "problems": PROBLEMS, "arrivals": 60, "seeds": [3, 5], "every": 20} | change)


@pytest.fixture
def counted(monkeypatch):
    """The runs that are computed, by key."""
    keys, compute = [], grid.Task.compute

    def count(task):
        part = compute(task)
        keys.extend(part["key"].unique())
        return part

    monkeypatch.setattr(grid.Task, "compute", count)
    return keys


@pytest.mark.parametrize("traces", [{}, {"trace_seed": 7}, {"own_traces": True}])
def test_each_run_is_the_one_it_would_be_alone(traces):
    table = small(**traces)
    runs = table.groupby("run", sort=True).first()
    assert len(runs) == 2 * 2 * 6 * 2 and (table.groupby("run")["arrivals"].apply(list).map(len) == 4).all()
    run = 0
    for c, cluster in CLUSTERS.items():
        for p, problem in PROBLEMS.items():
            for method in METHODS_:
                for seed in (3, 5):
                    trace = simulate(cluster, method, arrivals=60, seed=seed if "own_traces" in traces else traces.get("trace_seed", 0))
                    alone = replay(trace, method, problem, seeds=[seed], every=20)
                    rows = table[table["run"] == run].reset_index(drop=True)
                    assert set(rows["cluster"]) == {c} and set(rows["problem"]) == {p}
                    columns = [name for name in alone if name != "run"]
                    pd.testing.assert_frame_equal(rows[columns], alone[columns], check_exact=True)
                    run += 1


def test_a_grid_is_few_replays_of_many_runs(counted, monkeypatch):
    calls = []
    monkeypatch.setattr(grid, "replay", lambda *a, **k: calls.append(k["seeds"]) or replay(*a, **k))
    sweep(variants("asgd", lr=[0.01 * i for i in range(1, 9)]), CLUSTERS["wild"], PROBLEMS["far"], arrivals=40, seeds=range(16))
    assert calls == [tuple(range(8)), tuple(range(8, 16))]  # 8 step sizes x 8 seeds are 64 runs


def test_greedy_rules_share_their_traces_but_not_behind_a_network(monkeypatch):
    made = []
    monkeypatch.setattr(grid, "simulate", lambda cluster, method, **k: made.append(method.name) or simulate(cluster, method, **k))
    monkeypatch.setattr(grid, "_traces", {})
    rules = [METHODS[name](lr=0.1) for name in ("asgd", "dude", "ormo", "k_sync")]
    behind = clusters.Network(clusters.equal(3), clusters.Link(0.1, 1e6))
    sweep(rules, clusters.equal(3), PROBLEMS["far"], arrivals=40)
    assert made == ["asgd", "k_sync"]
    sweep(rules, behind, PROBLEMS["far"], arrivals=40)
    assert made[2:] == ["asgd", "dude", "ormo", "k_sync"]


def test_only_what_is_missing_is_computed(tmp_path, counted):
    first = small(cache=tmp_path)
    assert len(set(counted)) == len(counted) == 48
    counted.clear()
    pd.testing.assert_frame_equal(small(cache=tmp_path), first, check_exact=True)
    assert not counted
    more = small(cache=tmp_path, methods=[*METHODS_, *variants("asgd", lr=[0.4])], seeds=[3, 5, 7])
    assert len(counted) == 3 * 4 + 6 * 4  # a new step size with three seeds, and a new seed of six methods, in four cells each
    pd.testing.assert_frame_equal(more, small(methods=[*METHODS_, *variants("asgd", lr=[0.4])], seeds=[3, 5, 7]), check_exact=True)


@pytest.mark.parametrize(
    "change",
    [{"arrivals": 61}, {"every": 10}, {"clusters": {"even": clusters.Fixed((1.0, 1.0, 2.5))}}, {"own_traces": True},
     {"problems": {"near": Quadratic(torch.ones(3, 2), torch.ones(3, 2), sigma=1.5)}}, {"until": 1e9}],
)  # fmt: skip
def test_what_a_run_depends_on_is_in_its_key(tmp_path, counted, change):
    one = {"methods": METHODS_[:1], "clusters": {"even": CLUSTERS["even"]}, "problems": {"near": PROBLEMS["near"]}, "seeds": [3]}
    small(**one, cache=tmp_path)
    counted.clear()
    small(**one | change, cache=tmp_path)
    assert len(counted) == 1


def test_another_version_of_the_library_computes_anew(tmp_path, counted, monkeypatch):
    small(cache=tmp_path)
    counted.clear()
    monkeypatch.setattr(grid, "library", lambda: "another")
    small(cache=tmp_path)
    assert len(counted) == 48


def test_labels_may_change_and_cost_nothing(tmp_path, counted):
    small(cache=tmp_path)
    counted.clear()
    table = small(cache=tmp_path, clusters={"one": CLUSTERS["even"], "two": CLUSTERS["wild"]})
    assert not counted and table["cluster"].unique().tolist() == ["one", "two"]


def test_processes_side_by_side_give_the_same_table(tmp_path):
    pd.testing.assert_frame_equal(small(jobs=2, cache=tmp_path), small(), check_exact=True)


class ListsOnly(ThreadingBackend):
    """A backend that hands out nothing before everything is done, as Ray's does."""

    supports_return_generator = False


def test_a_backend_that_returns_only_lists_gives_the_same_table(tmp_path):
    register_parallel_backend("lists only", ListsOnly)
    with parallel_config(backend="lists only", n_jobs=2):
        table = small(jobs=None, cache=tmp_path)
    pd.testing.assert_frame_equal(table, small(), check_exact=True)


def test_a_damaged_file_is_computed_again(tmp_path, counted):
    whole = small(cache=tmp_path)
    path = max(tmp_path.glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    counted.clear()
    with pytest.warns(UserWarning, match="is damaged .* computed again"):
        again = small(cache=tmp_path)
    assert 0 < len(counted) < 48
    pd.testing.assert_frame_equal(again, whole, check_exact=True)


LONG = """
import sys, asgd_lib as asgd
from asgd_lib.sweep import sweep, variants
X, y, *_ = asgd.data.load("digits")
problem = asgd.problems.Softmax(X, y, asgd.partition.iid(len(y), 20, seed=0))
methods = variants("asgd", lr=[0.01, 0.02, 0.04, 0.08]) + variants("ormo", lr=[0.01, 0.02], momentum=[0.5, 0.9])
cluster = asgd.clusters.Exponential((1.0,) * 20)
sweep(methods, cluster, problem, arrivals=500, seeds=range(12), own_traces=True, cache=sys.argv[1], save=sys.argv[2])
"""


def whole(folder):
    """The finished files of the cache, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("cache/[!.]*.parquet")}


def test_a_killed_sweep_goes_on_to_the_same_table(tmp_path):
    start = [sys.executable, "-c", LONG, str(tmp_path / "cache"), str(tmp_path / "table.parquet")]
    process = subprocess.Popen(start)
    deadline = time.monotonic() + 120
    while len(whole(tmp_path)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the sweep was over before it could be killed"
    (tmp_path / "cache" / ".half.parquet").write_bytes(b"PAR1")  # what was being written when it was killed
    before = whole(tmp_path)
    assert len(before) >= 2 and not (tmp_path / "table.parquet").exists()
    subprocess.run([start[0], "-W", "error", *start[1:]], check=True)
    after = whole(tmp_path)
    assert len(after) > len(before) and before.items() <= after.items()  # nothing was computed twice
    subprocess.run([*start[:3], str(tmp_path / "other"), str(tmp_path / "uninterrupted.parquet")], check=True)
    one, other = (pd.read_parquet(tmp_path / name) for name in ("table.parquet", "uninterrupted.parquet"))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert one["run"].nunique() == 12 * 8 and one["run"].is_monotonic_increasing


def test_the_table_is_tidy_parquet_and_stderr_stays_silent(tmp_path, capsys):
    table = small(save=tmp_path / "runs.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "runs.parquet"), table)
    assert capsys.readouterr() == ("", "")
    small(progress=True)
    assert "48/48" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "says"),
    [({"methods": []}, "at least one method"), ({"seeds": []}, "at least one seed"), ({"seeds": [1, 1]}, "names a run twice"),
     ({"methods": [METHODS["asgd"](0.1)] * 2}, "names a run twice"), ({"clusters": {}}, "at least one cluster"),
     ({"every": 0}, "every must be"), ({"arrivals": None}, "Say how long")],
)  # fmt: skip
def test_senseless_grids_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        small(**change)


def test_a_fingerprint_follows_content_and_nothing_else():
    problem = PROBLEMS["near"]
    before = fingerprint.fingerprint(problem)
    _ = problem.minimiser, problem.minimum  # cached on the object
    twin = Quadratic(torch.ones(3, 2), torch.ones(3, 2), sigma=1.0)
    assert fingerprint.fingerprint(problem) == before == fingerprint.fingerprint(twin)
    script = "from asgd_lib.fingerprint import fingerprint as f; print(f({'a': {1, 'x', 2.5}, 'b': (None, b'1', [True])}))"
    environments = [os.environ | {"PYTHONHASHSEED": seed} for seed in ("1", "2")]
    seen = {subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True).stdout for env in environments}
    assert len(seen) == 1
    values = [1, 1.0, True, "1", b"1", [1], (1,), {1: 1}, {"1": 1}, None, lambda: 1, lambda: 2]
    values += [torch.ones(1), torch.ones(1, 1), torch.ones(1).double(), torch.zeros(1)]
    assert len({fingerprint.fingerprint(value) for value in values}) == len(values)
    assert fingerprint.fingerprint([1], [2]) != fingerprint.fingerprint([1, 2], [])
    assert fingerprint.fingerprint(torch.float32) != fingerprint.fingerprint(torch.float64)  # pickled by their names
    lock = threading.Lock()  # nothing that pickle could write
    with pytest.raises(ValueError, match="cannot be told by its content .*; a cached sweep needs plain data, or cache=None"):
        fingerprint.fingerprint(lock)
    assert fingerprint.content_key(lock) == fingerprint.content_key(lock) != fingerprint.content_key(threading.Lock())


def test_a_module_is_known_again_after_it_was_used():
    problem = SmallCNN(torch.rand(12, 16), torch.arange(12) % 3, [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11]], batch=4)
    before = fingerprint.fingerprint(problem)
    problem.metrics(problem.x0[None] + 1)
    assert fingerprint.fingerprint(problem) == before


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    assert cache.Cache(tmp_path / "nowhere").index() == {}


def test_the_package_itself_is_the_call():
    problem = PROBLEMS["near"]
    table = asgd_lib.sweep(asgd_lib.sweep.variants("asgd", lr=[0.1]), CLUSTERS["even"], problem, arrivals=20)
    pd.testing.assert_frame_equal(table, sweep(variants("asgd", lr=[0.1]), CLUSTERS["even"], problem, arrivals=20), check_exact=True)
