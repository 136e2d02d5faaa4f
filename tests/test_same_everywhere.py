"""The same numbers and the same files in any process: whatever its folder, locale, time zone, hash seed and random generators."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORK = """
import hashlib, locale, os, random, sys
import numpy as np, torch
locale.setlocale(locale.LC_ALL, "")
torch.set_num_threads(1)
if sys.argv[2] == "odd":
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
from click.testing import CliRunner
import asgd_lib as asgd
from asgd_lib import METHODS, clusters, data, partition, problems
from asgd_lib.cli import asgd as command
from asgd_lib.comparison import compare, entries, scenarios
from asgd_lib.fingerprint import fingerprint

folder = sys.argv[1]
X, y, X_test, y_test = data.load("digits")
parts = partition.dirichlet(y, 3, 0.1, seed=0)
kinds = {"quadratic": problems.Quadratic(torch.ones(3, 2), torch.eye(3, 2), sigma=0.5), "softmax": problems.Softmax(X, y, parts, 8)}
kinds |= {"mlp": problems.MLP(X, y, parts, 8, hidden=8), "cnn": problems.SmallCNN(X, y, parts, 4)}
found = {name: data.load(name) for name in ("digits", "breast_cancer", "wine", "iris", "diabetes", "fashion_mnist_small")}
found |= {"iid": partition.iid(50, 4), "shards": partition.shards(y, 4), "skew": partition.quantity_skew(50, 4), "parts": parts}
found["rotated"] = partition.feature_skew(X, 3)
for name in METHODS:
    for cluster in (clusters.LogNormal((1.0, 2.0, 9.0)), clusters.Dropout(clusters.Exponential((1.0,) * 3), 9.0, 3.0)):
        trace = asgd.simulate(cluster, METHODS[name](0.05), arrivals=60, seed=4)
        found[f"{name} on {cluster}"] = [trace.frame().to_numpy(), trace.lost.tobytes(), dict(trace.meta)]
trace = asgd.simulate(clusters.Exponential((1.0,) * 3), METHODS["dude"](0.05), arrivals=60)
for name, problem in kinds.items():
    history = asgd.replay(trace, [METHODS["dude"](lr) for lr in (0.01, 0.02)], problem, seeds=(0, 1), every=20)
    found[name] = [history.to_csv(float_format="%.17g"), history.attrs["x"]]
short = {"arrivals": 40, "seeds": (0, 1), "every": 20, "cache": folder + "/cache", "save": folder + "/sweep.parquet"}
asgd.sweep(asgd.sweep.variants("ormo", lr=[0.1, 0.2]), clusters.Pareto((1.0, 2.0, 3.0)), kinds["softmax"], **short)
places = scenarios(4, problems=["quadratic"], splits=("iid",), clusters=("straggler",))
found["contest"] = compare(entries(4, ["asgd", "dude"]), places, [0.1, 1.0], tuning_seeds=(9,), seeds=(0,)).to_csv()
run = ["--lr", "0.1", "--problem", "softmax:digits", "--workers", "3", "--arrivals", "60", "--seeds", "2"]
done = [CliRunner().invoke(command, ["run", "--method", "dude", *run, "--out", folder])]
done.append(CliRunner().invoke(command, ["replay", folder + "/trace.npz", "--method", "ormo", *run[:4]]))
done += [CliRunner().invoke(command, [name]) for name in ("list", "--help")]
assert not any(one.exit_code for one in done), done
found["printed"] = [one.stdout for one in done]
for place, _, files in os.walk(folder):
    found |= {os.path.relpath(os.path.join(place, file), folder): open(os.path.join(place, file), "rb").read() for file in files}
for name, value in found.items():
    print(ascii(name), fingerprint(value))
"""
PLAIN = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}
ODD = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "77", "COLUMNS": "40"}


@pytest.mark.slow
def test_processes_of_all_kinds_compute_the_same(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    running = []
    for folder, settings, kind, place in (("plain", PLAIN, "plain", ROOT), ("a folder", ODD, "odd", tmp_path / "elsewhere")):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | settings
        start = [sys.executable, "-c", WORK, str(tmp_path / folder), kind]
        running.append(subprocess.Popen(start, cwd=place, env=environment, stdout=subprocess.PIPE, text=True))
    plain, odd = (process.communicate()[0].splitlines() for process in running)
    assert [process.returncode for process in running] == [0, 0] and len(plain) > 80
    assert any("comparison" in line or "trace.npz" in line for line in plain)
    assert [pair for pair in zip(plain, odd, strict=True) if pair[0] != pair[1]] == []
