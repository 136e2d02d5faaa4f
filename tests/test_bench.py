"""The benchmark runs at a small size, its contenders do the same work, and BENCHMARKS.md is what its numbers say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import bench
import bench_peers
import bench_report
import contenders
import pytest
import torch
from bench_asked import asked

import asgd_lib as asgd
from asgd_lib.rules.base import Arrivals

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("bench.json", "serve.json", "peers.json")


def peer(name):
    """The Python of a peer's environment, which `make bench-peers` builds."""
    return ROOT / ".venv-peers" / name.lower() / "bin" / "python"


INSTALLED = [name for name in bench_peers.PEERS if (peer(name).parents[1] / ".complete").exists()]


def committed():
    """The committed numbers: of the benchmark, of real processes, of peers."""
    paths = [ROOT / "benchmarks" / name for name in NAMES]
    return [json.loads(path.read_text()) if path.exists() else None for path in paths]


def ran(script, out, *options):
    """The numbers that a script of the benchmark leaves in the file `out`."""
    done = subprocess.run([sys.executable, f"scripts/{script}", *options, out], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.mark.slow
def test_the_whole_benchmark_runs_and_makes_a_page(tmp_path):
    result = ran("bench.py", tmp_path / "bench.json", "--threads", "1", "--repeats", "1", "--scale", "0.01", "--out")
    assert [row["workload"] for row in result["replay"]] == [*contenders.WORKLOADS] * 2
    numbers = [v for rows in result.values() if isinstance(rows, list) for row in rows for v in row.values() if not isinstance(v, str)]
    assert min(numbers) > 0
    page = bench_report.page(result)
    assert page.count("\n| MLP 784-128-10") == 3 and "nan" not in page
    assert len(list(asked(result))) == 10 + 1 + 1 + 3 + 3 + 1 + 1 + 2
    bench_report.figure(result).savefig(tmp_path / "bench.png")


def test_the_committed_page_is_what_the_committed_numbers_say():
    result, served, peers = committed()
    page = bench_report.page(result, served, peers)
    assert (ROOT / "BENCHMARKS.md").read_text() == page
    tables = [table.splitlines() for table in page.split("\n\n") if table.startswith("|")]
    for _, rule, *rows in tables:
        for right, *cells in zip(*[[cell.strip() for cell in line.split("|")[1:-1]] for line in [rule, *rows]], strict=True):
            assert not all(re.match(r"[\d.,]+[%x]?$", cell) for cell in cells) or right == "-:", f"numbers flush left: {cells[:3]}"
    of_peers = [] if peers is None else [row for row in peers["rows"] if row["workload"].startswith("MLP")]
    assert page.count("\n| MLP 784-128-10 |") == 5 + len(of_peers)


def test_every_threshold_is_missed_by_a_number_just_beyond_it():
    result, served, _ = committed()
    times = lambda r: {"q": 8.0, "s": 3.0, "M": 2.0, "C": 1.0}[r["workload"][0]] if r["n"] == 100 else 1.0  # noqa: E731
    good = result | {
        "replay": [r | {"plain_us": 10 * times(r), "replay_us": 10.0, "limit_us": 7.0} for r in result["replay"]],
        "memory": [r | {"replay_mb": 99.0, "plain_mb": 100.0} for r in result["memory"]],
        "sweep": [r | {"plain_us": {"q": 20.0, "s": 5.0}[r["workload"][0]], "one_us": 2.0, "sweep_us": 1.0} for r in result["sweep"]],
        "dude": [r | {"asgd_us": 1.0, "dude_us": 1.2 if r["n"] == 1000 else 1.0} for r in result["dude"]],
        "simulate": [r | {"arrivals": 100_000, "seconds": 0.999} for r in result["simulate"]],
        "imports": [r | {"seconds": 1.99} for r in result["imports"]],
    }
    served = [r | {"ratio": 1.0} for r in served]
    assert len(list(asked(good, served))) == 24 and all(met for *_, met in asked(good, served))
    worse = {"replay_us": 1.01, "replay_mb": 1.02, "sweep_us": 1.01, "dude_us": 1.01, "seconds": 1.02}
    bad = {
        name: [r | {k: r[k] * f for k, f in worse.items() if k in r} for r in rows] for name, rows in good.items() if isinstance(rows, list)
    }
    rows = list(asked(bad, [r | {"ratio": 0.99} for r in served]))
    missed = {what for what, *_, met in rows if not met}
    assert missed == {what for what, *_ in rows} - {f"DuDe, n = {n}: an update's time over ASGD's" for n in (10, 100)} - {rows[18][0]}
    assert rows[18][0].startswith("DuDe: an update at n = 1,000")  # both ends grew alike


@pytest.mark.slow
def test_real_processes_are_measured(tmp_path):
    rows = ran("bench_serve.py", tmp_path / "serve.json", "--arrivals", "40", "--repeats", "1", "--workers", "2", "--json")
    assert [row["workers"] for row in rows] == [2, 2] and all(row[k] > 0 for row in rows for k in ("plain", "serve", "ratio", "own_us"))


@pytest.mark.parametrize("name", contenders.WORKLOADS)
def test_the_plain_loop_computes_the_problems_gradient(name):
    problem, module = contenders.workload(name, 4, rows=200)
    values = [p.detach().clone() for p in module.parameters()]
    x = torch.cat([p.flatten() for p in values])
    assert x.shape == problem.x0.shape and x.dtype == problem.x0.dtype
    if isinstance(module, contenders.Quad):
        loss = 0.5 * module.x.square().sum()
    else:
        rows = problem.samples_of(1)
        loss = torch.nn.functional.cross_entropy(module(problem.X[rows]), problem.y[rows])
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))])
    torch.testing.assert_close(problem.full_grad(x, 1), expected, rtol=1e-3, atol=1e-5)


def test_each_row_that_is_kept_holds_its_workers_last_gradient():
    rule, grads = contenders.Kept(0.1), list(torch.eye(4))
    *_, last = rule.receive_all(rule.init(torch.zeros(4), 3), Arrivals(grads, [0, 2, 0, 2], [0] * 4, [1.0] * 4))
    assert torch.equal(torch.stack(last.table), torch.stack([grads[2], torch.zeros(4), grads[3]])) and last.k == 4


def test_keeping_rows_changes_no_model(monkeypatch):
    ends, replay = [], asgd.replay
    monkeypatch.setattr(asgd, "replay", lambda *a, **k: ends.append(replay(*a, **k).attrs["x"]))
    problem, _ = contenders.workload("softmax, digits", 7)
    for name in ("asgd", "kept"):
        contenders.replayed(problem, 7, 60, name)
    assert torch.equal(*ends)


def test_the_gradients_alone_are_as_many_as_replays(monkeypatch):
    problem, _ = contenders.workload("softmax, digits", 7)
    sizes = contenders.calls(problem, 7, 300)
    assert sum(sizes) == 300 and max(sizes) <= 7 and "grad_at" not in vars(problem)
    seen, jobs = [], []
    grad_at, draws = problem.grad_at, problem.draws
    monkeypatch.setattr(
        problem, "grad_at", lambda x, worker, cut: seen.append((len(x), len(worker), len(cut[0]))) or grad_at(x, worker, cut)
    )
    monkeypatch.setattr(problem, "draws", lambda worker, job, seed: jobs.extend(job.tolist()) or draws(worker, job, seed))
    monkeypatch.setattr(contenders, "AHEAD", 40)
    contenders.gradients_alone(problem, 7, sizes)
    assert seen == [(size,) * 3 for size in sizes] and set(jobs) == set(range(300))


def test_ratios_are_taken_in_turns_and_the_least_time_counts(monkeypatch):
    times = iter([3.0, 10.0, 2.0, 12.0])
    monkeypatch.setattr(bench, "seconds", lambda work: work() or next(times))
    order = []
    best = bench.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b", "a", "b"] and best == {"a": 2.0, "b": 10.0}


def test_one_network_serves_both_sides_of_the_cnn_whose_weights_lie_as_each_would_have_them():
    problem, module = contenders.workload("CNN, digits", 4)
    assert isinstance(problem, asgd.problems.SmallCNN)
    for mine, plain in zip(problem.module.parameters(), module.parameters(), strict=True):
        assert torch.equal(mine, plain) and plain.is_contiguous()
    assert problem.module[4].weight.is_contiguous(memory_format=torch.channels_last) and not problem.module[4].weight.is_contiguous()


def test_a_peer_that_cannot_be_had_is_named_with_its_reason_and_the_rest_is_measured(tmp_path, monkeypatch):
    class Failed:
        returncode, stderr = 1, "WARNING: Location '/somewhere' is ignored\nERROR: No matching distribution found for absent==9.9\n"

    said = iter([{"version": "1", "updates": 10, "seconds": 0.2}, {"version": "2", "updates": 10, "seconds": 0.1}] * 9)
    run = lambda python, script, *_: next(said) if script != "with_broken.py" else "does not run: ValueError: broken"  # noqa: E731
    monkeypatch.setattr(bench_peers, "PEERS", {"Absent": "absent==9.9", "Broken": "broken==1"})
    monkeypatch.setattr(bench_peers.subprocess, "run", lambda *_, **__: Failed)
    monkeypatch.setattr(bench_peers, "run", run)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".complete").touch()
    out = tmp_path / "peers.json"
    monkeypatch.setattr(sys, "argv", ["bench_peers", "--environments", str(tmp_path), "--out", str(out), "--repeats", "2"])
    assert bench_peers.main() == 0
    peers = json.loads(out.read_text())
    assert {(row["workload"], row["who"]) for row in peers["rows"]} == {(m, who) for m in bench_peers.MODELS for who in ("plain", "replay")}
    assert peers["left_out"]["absent==9.9"] == "cannot be installed: ERROR: No matching distribution found for absent==9.9"
    page = bench_report.page(committed()[0], None, peers)
    assert "absent 9.9 cannot be installed" in page and "broken 1 does not run: ValueError: broken;" in page


@pytest.mark.slow
@pytest.mark.parametrize("who", ["plain", "replay", *INSTALLED])
def test_every_contender_of_the_peers_bench_that_is_here_runs(who):
    ours = who not in INSTALLED
    env = bench_peers.clean() | ({"PYTHONPATH": str(ROOT)} if ours else {})
    said = bench_peers.run(sys.executable if ours else peer(who), f"with_{who.lower()}.py", "softmax 784-10", 20, env)
    assert isinstance(said, dict), said
    assert said["updates"] == 20 and said["seconds"] > 0
