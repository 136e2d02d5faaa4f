"""DASO and data-parallel training on real processes: a run is its replay, and a process that fails is a sentence and not a hang."""

from __future__ import annotations

import ast
import math
import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hierarchies import Harmed, Wrong, apart, digits, gone, images, train_for_ever

from asgd_lib import METHODS, clusters, problems, simulate
from asgd_lib.distributed.compare import all_reduce_seconds, measure_hierarchy, measured_table, seconds_to
from asgd_lib.distributed.daso import plan
from asgd_lib.distributed.gpu import moved
from asgd_lib.distributed.hierarchy import run_hierarchy
from asgd_lib.distributed.measured import trace_of

CROSS_ENTROPY = torch.nn.CrossEntropyLoss(reduction="none")
ROUNDING = 1e-12  # relative, of double precision over a few dozen batches; measured: at most 4e-16 to 2e-15
daso, sgd = METHODS["daso"], METHODS["sgd_minibatch"]

# nodes, GPUs a node, the method, batches, epochs
RUNS = {
    "cycling": (2, 2, daso(0.2, per_node=2), 12, 2),
    "momentum, own speeds": (3, 1, daso(0.05, momentum=0.9, skip=3, wait=2), 12, 2),
    "blocking": (3, 1, daso(0.2, skip=0, wait=0), 6, 2),
    "W = B": (2, 2, daso(0.2, per_node=2, skip=2, wait=2), 12, 2),
    "early return": (2, 2, daso(0.2, per_node=2, skip=2, wait=1, early_return=True), 12, 2),
    "phases": (2, 2, daso(0.2, per_node=2, epoch=7, epochs=4, warm_up=1, cool_down=1, epoch_sync=True), 7, 4),
    "local skip": (2, 2, daso(0.1, per_node=2, momentum=0.5, schedule=((8, 2, 2), (4, 1)), epoch=10), 10, 2),
    "data parallel": (2, 2, sgd(0.2), 12, 2),
    "data parallel, momentum, three buckets": (3, 1, sgd(0.05, momentum=0.9), 12, 2),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_its_replay(name):
    nodes, per_node, method, batches, epochs = RUNS[name]
    n = nodes * per_node
    problem, cluster = digits(n), clusters.Exponential((0.002,) * (n - 1) + (0.006,))
    pieces = 3 if "three" in name else 1
    run = run_hierarchy(
        problem, method, nodes=nodes, per_node=per_node, batches=batches, epochs=epochs, seed=5, cluster=cluster, pieces=pieces, timeout=30
    )
    difference = apart(run, method, problem, seed=5)
    print(f"{name}: run and replay differ by {difference:.1e}")
    assert difference < ROUNDING
    assert len(run.trace) == n * batches * epochs and np.array_equal(np.sort(run.trace.job), np.arange(len(run.trace)))
    clock = cluster.clock(5)
    asked = np.array([[clock(w, t, 0.0)[0] for t in range(batches * epochs)] for w in range(n)])
    took = run.times[:, :, 1] - run.times[:, :, 0]
    assert (took >= asked - 1e-6).all()
    assert (run.exposed > 0).all() and run.exposed.sum() + run.compute.sum() <= run.seconds[-1]


def test_data_parallel_jobs_are_those_of_a_barrier():
    problem, method = digits(3), sgd(0.2)
    run = run_hierarchy(problem, method, nodes=3, batches=10, timeout=30)
    ideal = simulate(clusters.equal(3), method, arrivals=30, seed=0)
    # Within a batch any order; who begins late finds gradients of the same batch, and the same model.
    assert np.array_equal(run.trace.job // 3, ideal.job // 3) and np.array_equal(run.trace.read // 3, ideal.read // 3)


def test_a_node_ahead_waits_only_where_it_must():
    """Of two nodes, one five times as fast, the fast one runs ahead by at most B + W batches and not in step."""
    problem = digits(2)
    run = run_hierarchy(problem, daso(0.1), nodes=2, batches=24, cluster=clusters.Fixed((0.002, 0.010)), timeout=30)
    done = np.cumsum(run.trace.worker == 0) - np.cumsum(run.trace.worker == 1)
    assert 1 < done.max() <= 4 + 1


def test_plan_of_a_phase_of_its_own():
    actions = [action for _, action in zip(range(10), plan(daso(0.1, per_node=2, skip=4, wait=1).rule, 6), strict=False)]
    sends = {batch: (a.sends.number, a.sends.talker, a.sends.wait) for batch, a in enumerate(actions) if a.sends}
    assert sends == {0: (0, 0, 1), 4: (1, 1, 1), 8: (2, 0, 1)}
    assert {batch: a.receives.number for batch, a in enumerate(actions) if a.receives} == {1: 0, 5: 1, 9: 2}
    blocking = next(plan(daso(0.1, skip=0, wait=0).rule, 3))
    assert blocking.sends == blocking.receives and blocking.sends.wait == 0


def test_trace_of_reads_what_was_there():
    times = np.array([[[0.0, 1.0, 1.0], [1.0, 3.0, 3.0]], [[0.0, 2.0, 2.0], [2.0, 2.5, 3.0]]])
    trace = trace_of(times, {})
    assert trace.job.tolist() == [0, 1, 3, 2] and trace.worker.tolist() == [0, 1, 1, 0] and trace.read.tolist() == [0, 0, 2, 1]


def test_a_killed_process_is_a_sentence_and_nobody_is_left(tmp_path):
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="Process 1 of 4 was killed by SIGKILL. The other processes were ended."):
        run_hierarchy(Harmed(4, tmp_path), daso(0.1, per_node=2), nodes=2, per_node=2, batches=50, timeout=60)
    assert time.monotonic() - began < 30
    assert len(list(tmp_path.iterdir())) == 4 and gone(tmp_path)


@pytest.mark.parametrize("method", [daso(0.1), sgd(0.1)], ids=["daso", "data parallel"])
def test_a_stopped_process_is_waited_for_no_longer_than_timeout(tmp_path, method):
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="waited more than 2 s for another one; was that one stopped"):
        run_hierarchy(Harmed(3, tmp_path, harm=signal.SIGSTOP), method, nodes=3, batches=50, timeout=2)
    assert time.monotonic() - began < 12
    assert gone(tmp_path)


def test_an_error_in_a_process_is_told():
    problem = Wrong(torch.ones(2, 1).double(), torch.ones(2, 1).double())
    with pytest.raises(RuntimeError, match="Process 1 of 2 failed: ArithmeticError: no gradient today. The other processes were ended."):
        run_hierarchy(problem, sgd(0.1), nodes=2, batches=2)


def test_a_job_that_cannot_be_sent_is_told():
    problem = digits(2)
    problem.hook = lambda: None
    with pytest.raises(ValueError, match="The job cannot be sent to other processes .*use functions and classes of a module"):
        run_hierarchy(problem, sgd(0.1), nodes=2, batches=2)


def test_a_worker_that_leaves_is_refused():
    leaving = clusters.Dropout(clusters.equal(2, 0.001), up=0.01, down=math.inf)
    with pytest.raises(RuntimeError, match="a sum needs every worker"):
        run_hierarchy(digits(2), sgd(0.1), nodes=2, batches=200, cluster=leaving)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_children_end_with_a_parent_that_is_killed(tmp_path):
    parent = get_context("forkserver").Process(target=train_for_ever, args=(tmp_path,))
    parent.start()
    try:
        end = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < end and parent.is_alive():
            time.sleep(0.05)
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        parent.kill()
        parent.join()
    assert gone(tmp_path)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from hierarchies import digits
from asgd_lib import METHODS
from asgd_lib.distributed.hierarchy import run_hierarchy

run = run_hierarchy(digits(2), METHODS["daso"](0.1, per_node=2), nodes=1, per_node=2, batches=5, seed=3)
Path({out!r}).write_text(repr(run.x.tolist()))
"""


@pytest.mark.slow
def test_under_torchrun(tmp_path):
    script, out = tmp_path / "run.py", tmp_path / "x"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), out=str(out)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert not done.returncode, done.stderr
    x = torch.tensor(ast.literal_eval(out.read_text()), dtype=torch.float64)
    own = run_hierarchy(digits(2), daso(0.1, per_node=2), nodes=1, per_node=2, batches=5, seed=3)
    assert torch.equal(x, own.x)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nodes": 3}, "3 nodes of 1 are 3 workers and the problem has 2"),
        ({"cluster": clusters.equal(3)}, "are 2 workers and the cluster has 3"),
        ({"method": METHODS["asgd"](0.1)}, "run_hierarchy runs daso and sgd_minibatch; got asgd"),
        ({"method": daso(0.1, per_node=2)}, r"pass daso\(per_node=1\)"),
        ({"method": daso(0.1, epoch=5)}, r"pass daso\(epoch=4\)"),
        ({"batches": 0}, "batches must be a whole number of at least 1"),
        ({"pieces": 10**9}, "pieces must be a whole number"),
        ({"timeout": 0}, "timeout must be a finite number above 0"),
        ({"backend": "mpi"}, "backend must be one of 'gloo', 'nccl'"),
    ],
)
def test_what_does_not_fit_is_refused(change, sentence):
    job = {"problem": digits(2), "method": sgd(0.1), "nodes": 2, "batches": 4} | change
    with pytest.raises(ValueError, match=sentence):
        run_hierarchy(**job)


def test_comparison_is_tidy_and_paired():
    problem = digits(2)
    runs = measure_hierarchy(
        problem, {"ddp": sgd(0.2), "daso": daso(0.2)}, nodes=2, repeats=2, batches=6, epochs=3, options={"ddp": {"pieces": 2}}
    )
    table = measured_table(runs, problem)
    columns = ["run", "method", "repeat", "epoch", "seconds", "compute_s", "exposed_s", "loss", "grad_norm_sq", "accuracy"]
    assert table.columns.tolist() == columns and len(table) == 2 * 2 * 4
    assert table.groupby("run")["seconds"].is_monotonic_increasing.all()
    start = table[table["epoch"] == 0]
    assert start["loss"].nunique() == 1 and (start["seconds"] == 0).all()
    last = table[table["epoch"] == 3]
    assert last["loss"].nunique() == 4, "repeats have minibatches of their own"
    assert np.allclose(last["loss"], [problem.metrics(run.x[None])["loss"].item() for run in runs.values()])
    with pytest.raises(ValueError, match="options for 'other', and the methods are ddp"):
        measure_hierarchy(problem, {"ddp": sgd(0.2)}, nodes=2, batches=1, options={"other": {}})


def test_a_problem_moves_as_a_whole():
    for problem in (digits(2), problems.TorchModule(torch.nn.Linear(64, 10).double(), CROSS_ENTROPY, *images(), test=images()[:2])):
        there = moved(problem, "meta")
        tensors = [v for value in vars(there).values() for v in (value if isinstance(value, tuple) else (value,)) if torch.is_tensor(v)]
        tensors += [p for value in vars(there).values() if isinstance(value, torch.nn.Module) for p in value.parameters()]
        assert len(tensors) > 5 and {str(t.device) for t in tensors} == {"meta"}
        assert str(problem.x0.device) == "cpu" and moved(problem, "cpu") is problem and moved(problem, None) is problem


def test_a_module_that_has_moved_is_the_one_that_is_differentiated():
    problem = problems.TorchModule(torch.nn.Linear(64, 10).double(), CROSS_ENTROPY, *images())
    there = moved(problem, "meta")
    assert [id(p) for p in there._parameters] == [id(p) for p in there.module.parameters()]  # else every gradient would be zero
    assert not {id(p) for p in problem.module.parameters()} & {id(p) for p in there.module.parameters()}
    assert there.grad(there.x0.expand(1, 1, -1), *(torch.zeros(1, dtype=torch.int64, device="meta"),) * 3).shape == (1, 1, 650)


def test_a_module_trains_with_buckets_of_any_shape():
    problem = problems.TorchModule(torch.nn.Linear(64, 10).double(), CROSS_ENTROPY, *images())
    run = run_hierarchy(problem, sgd(0.5, momentum=0.5), nodes=2, batches=10, pieces=4, timeout=30)
    assert apart(run, sgd(0.5, momentum=0.5), problem) < ROUNDING


def test_all_reduce_is_timed():
    assert (all_reduce_seconds(1000, 2, repeats=3) > 0).all()


def test_seconds_to_a_loss_lie_between_epochs():
    table = pd.DataFrame(
        {"run": [0] * 3, "method": "m", "repeat": 0, "epoch": range(3), "seconds": [0.0, 2.0, 4.0], "loss": [3.0, 2.0, 1.0]}
    )
    assert seconds_to(table, 1.5)["value"].tolist() == [3.0]
    assert seconds_to(table, 0.5)["value"].tolist() == [np.inf] and seconds_to(table, 3.5)["value"].tolist() == [0.0]
    assert seconds_to(table, 2.5, rising=True)["value"].tolist() == [0.0]
