"""The benchmark runs at a small size, its contenders do the same work, and BENCHMARKS.md is what its numbers say."""

import json
import subprocess
import sys
from pathlib import Path

import bench
import bench_report
import contenders
import pytest
import torch

import asgd_lib as asgd

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_whole_benchmark_runs_and_makes_a_page(tmp_path):
    out = tmp_path / "bench.json"
    command = [sys.executable, "scripts/bench.py", "--threads", "1", "--repeats", "1", "--scale", "0.01", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert [row["workload"] for row in result["replay"]] == [*contenders.WORKLOADS] * 2
    numbers = [v for rows in result.values() if isinstance(rows, list) for row in rows for k, v in row.items() if k != "workload"]
    assert min(numbers) > 0
    page = bench_report.page(result)
    assert page.count("\n| MLP 784-128-10") == 3 and "nan" not in page
    bench_report.figure(result).savefig(tmp_path / "bench.png")


def test_the_committed_page_is_what_the_committed_numbers_say():
    result, served = (json.loads((ROOT / "benchmarks" / name).read_text()) for name in ("bench.json", "serve.json"))
    page = bench_report.page(result, served)
    assert (ROOT / "BENCHMARKS.md").read_text() == page and page.count("| MLP 784-128-10 |") == 4


@pytest.mark.slow
def test_real_processes_are_measured(tmp_path):
    out = tmp_path / "serve.json"
    command = [sys.executable, "scripts/bench_serve.py", "--arrivals", "40", "--repeats", "1", "--workers", "2", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(min(row.values()) > 0 and len(row) == 4 for row in json.loads(out.read_text()).values())


@pytest.mark.parametrize("name", contenders.WORKLOADS)
def test_the_plain_loop_computes_the_problems_gradient(name):
    problem, module = contenders.workload(name, 4, rows=200)
    x = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert x.shape == problem.x0.shape and x.dtype == problem.x0.dtype
    if isinstance(module, contenders.Quad):
        loss = 0.5 * module.x.square().sum()
    else:
        rows = problem.samples_of(1)
        loss = torch.nn.functional.cross_entropy(module(problem.X[rows]), problem.y[rows])
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))])
    torch.testing.assert_close(problem.full_grad(x, 1), expected, rtol=1e-3, atol=1e-5)


def test_ratios_are_taken_in_turns_and_the_least_time_counts(monkeypatch):
    times = iter([3.0, 10.0, 2.0, 12.0])
    monkeypatch.setattr(bench, "seconds", lambda work: work() or next(times))
    order = []
    best = bench.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b", "a", "b"] and best == {"a": 2.0, "b": 10.0}


def test_one_module_serves_both_sides_of_the_cnn():
    problem, module = contenders.workload("CNN, digits", 4)
    assert module is problem.module and isinstance(problem, asgd.problems.SmallCNN)
