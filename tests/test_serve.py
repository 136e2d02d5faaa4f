"""Real runs: recorded, they replay to the server's model bit by bit, for every method."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from cases import CASES, every_method
from serving import Broken, digits, noisy, replayed

from asgd_lib import METHODS, Trace, clusters, replay, serve, simulate
from asgd_lib.distributed.children import Fault

pytestmark = pytest.mark.slow


@every_method
def test_a_recorded_run_replays_to_the_servers_model(name, hyper):
    problem, method = digits(), METHODS[name](0.05, **hyper)
    served = serve(problem, method, n_workers=4, arrivals=60, seed=3, timeout=20.0)
    trace = served.trace
    assert len(trace) == 60 and trace.n == 4 and trace.meta["source"] == "recorded" and served.x.shape == problem.x0.shape
    assert torch.equal(served.x, replayed(trace, method, problem, seed=3))
    history = replay(trace, method, problem, seeds=[3], every=60)
    assert served.used == history["used"].iloc[-1] and history["status"].iloc[-1] == "done"
    # Batched gradients may be rounded otherwise, by a few units in the last place a step.
    torch.testing.assert_close(history.attrs["x"][0], served.x, rtol=1e-4, atol=1e-5)


def test_every_method_has_been_served():
    assert {name for name, _ in CASES.values()} == set(METHODS)


def test_a_folder_holds_the_run(tmp_path):
    problem, method = noisy(), METHODS["dude"](0.05)
    served = serve(problem, method, arrivals=80, folder=tmp_path / "run", timeout=20.0)
    whole, journal = (Trace.load(tmp_path / "run" / name) for name in ("trace.npz", "journal"))
    assert served.trace == whole == journal and len(whole) == 80 and len(whole.in_flight) == 4
    with pytest.raises(ValueError, match="holds a run already; go on with resume=True"):
        serve(problem, method, arrivals=80, folder=tmp_path / "run")
    with pytest.raises(ValueError, match="records a run with lr = '0.05'; this one has '0.06'"):
        serve(problem, METHODS["dude"](0.06), arrivals=80, folder=tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match="records a run with seed = '0'; this one has '1'"):
        serve(problem, method, arrivals=80, seed=1, folder=tmp_path / "run", resume=True)


def test_a_run_says_what_it_is_told_to_say_and_goes_on_with_the_same_alone(tmp_path):
    problem, method, said = noisy(), METHODS["asgd"](0.05), {"data": "noisy", "commit": "3f2a"}
    served = serve(problem, method, arrivals=20, folder=tmp_path, timeout=20.0, meta=said)
    for meta in (served.trace.meta, Trace.load(tmp_path / "trace.npz").meta, Trace.load(tmp_path / "journal").meta):
        assert said.items() <= meta.items() and meta["method"] == "asgd"
    assert said.items() <= serve(problem, method, arrivals=20, timeout=20.0, meta=said).trace.meta.items()
    with pytest.raises(ValueError, match="records a run with commit = '3f2a'; this one has '0000'. Go on with the same"):
        serve(problem, method, arrivals=40, folder=tmp_path, resume=True, meta=said | {"commit": "0000"})
    with pytest.raises(ValueError, match="records a run with commit = '3f2a'; this one has None"):
        serve(problem, method, arrivals=40, folder=tmp_path, resume=True, meta={"data": "noisy"})
    for name in ("method", "n", "start", "crc32"):
        with pytest.raises(ValueError, match=f"meta cannot have '{name}', which the run records itself"):
            serve(problem, method, arrivals=20, meta={name: "mine"})


def test_a_journal_that_was_told_nothing_goes_on_whatever_is_said_later(tmp_path):
    problem, method = noisy(), METHODS["asgd"](0.05)
    first = serve(problem, method, arrivals=20, folder=tmp_path, timeout=20.0)
    more = serve(problem, method, arrivals=40, folder=tmp_path, resume=True, timeout=20.0, meta={"commit": "3f2a"})
    assert len(more.trace) == 40 and more.trace.meta == first.trace.meta and "commit" not in Trace.load(tmp_path / "journal").meta


def test_a_finished_run_can_be_prolonged(tmp_path):
    problem, method = noisy(), METHODS["ormo"](0.02)
    first = serve(problem, method, arrivals=50, folder=tmp_path, timeout=20.0)
    more = serve(problem, method, arrivals=120, folder=tmp_path, resume=True, timeout=20.0)
    assert len(more.trace) == 120 and len(more.trace.lost) == 8  # four that were in flight, and four that are
    for column in ("job", "worker", "read", "start", "end"):
        assert np.array_equal(getattr(more.trace, column)[:50], getattr(first.trace, column))
    assert torch.equal(more.x, replayed(more.trace, method, problem)) and more.trace == Trace.load(tmp_path / "journal")


def test_injected_times_are_kept(tmp_path):
    cluster = clusters.Fixed((0.02, 0.04, 0.06, 0.08))
    method = METHODS["asgd"](0.05)
    served = serve(noisy(), method, arrivals=40, cluster=cluster, timeout=20.0)
    seconds = served.trace.end - served.trace.start
    for worker, least in enumerate(cluster.seconds):
        assert seconds[served.trace.worker == worker].min() >= least
    share = np.bincount(served.trace.worker, minlength=4) / 40
    expected = np.bincount(simulate(cluster, method, arrivals=40).worker, minlength=4) / 40
    assert abs(share - expected).max() <= 0.15


@pytest.mark.parametrize("name", ["asgd", "hogwild_local"])
def test_what_a_network_takes_is_waited_for_and_a_silent_job_pays_nothing(name):
    links = [clusters.Link(latency=0.005 * worker) for worker in range(4)]
    cluster = clusters.Network(clusters.Fixed((0.004,) * 4), up=links, down=clusters.Link(latency=0.03))
    method = METHODS[name](0.05, **{"samples": 3} if name == "hogwild_local" else {})
    trace = serve(noisy(), method, arrivals=60, cluster=cluster, timeout=20.0).trace
    ideal = simulate(cluster, method, arrivals=60, message_bytes=noisy().x0.nbytes)
    for worker in range(4):
        took, asked = ((t.end - t.start)[t.worker == worker] for t in (trace, ideal))
        both = min(len(took), len(asked))
        assert both > 2 and (took[:both] >= asked[:both] - 1e-9).all()
    assert (np.min(trace.end - trace.start) < 0.034) == (name == "hogwild_local")


def test_a_cluster_with_other_nodes_than_the_method_is_refused():
    nodes = clusters.Nodes(clusters.Fixed((0.004,) * 4), per_node=4)
    with pytest.raises(ValueError, match="The method has 2 workers a node and the cluster 4: say per_node=4 to both."):
        serve(noisy(), METHODS["daso"](0.05, per_node=2), arrivals=10, cluster=nodes)


def test_workers_that_leave_lose_their_job_and_come_back():
    cluster = clusters.Dropout(clusters.Fixed((0.004,) * 3), up=0.05, down=0.02)
    served = serve(noisy(3), METHODS["asgd"](0.05), arrivals=120, cluster=cluster, timeout=20.0)
    lost = len(served.trace.lost) - len(served.trace.in_flight)
    assert lost > 0 and torch.equal(served.x, replayed(served.trace, METHODS["asgd"](0.05), noisy(3)))


def test_an_error_in_a_gradient_stops_the_run_with_its_words():
    problem = noisy()
    broken = Broken(problem.A, problem.b)
    with pytest.raises(RuntimeError, match="The gradient of worker . failed. ZeroDivisionError: job 20 went wrong"):
        serve(broken, METHODS["asgd"](0.05), arrivals=60, timeout=20.0)


def test_what_cannot_be_served_is_refused():
    problem, method = noisy(), METHODS["asgd"](0.05)
    with pytest.raises(ValueError, match="split over 4 workers and n_workers is 3"):
        serve(problem, method, n_workers=3, arrivals=10)
    with pytest.raises(ValueError, match="The cluster has 2 workers and the problem 4"):
        serve(problem, method, arrivals=10, cluster=clusters.Fixed((0.1, 0.1)))
    with pytest.raises(ValueError, match="resume=True needs the folder"):
        serve(problem, method, arrivals=10, resume=True)
    with pytest.raises(ValueError, match="arrivals must be"):
        serve(problem, method, arrivals=0)
    with pytest.raises(ValueError, match="timeout must be"):
        serve(problem, method, arrivals=5, timeout=0.0)
    with pytest.raises(ValueError, match="the worker of a fault must be"):
        serve(problem, method, arrivals=5, faults=[Fault(1, 4, "kill")])
    with pytest.raises(ValueError, match="action must be"):
        Fault(1, 0, "tease")


def test_a_problem_that_cannot_be_sent_leaves_its_folder_free(tmp_path):
    problem = noisy()
    problem.hook = lambda: None
    for _ in range(2):  # the second time the folder would hold a run, or be in use by one
        with pytest.raises(ValueError, match="cannot be sent to worker processes"):
            serve(problem, METHODS["asgd"](0.05), arrivals=5, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


SCRIPT = """
import torch
import asgd_lib as asgd

print("once")
problem = asgd.problems.Quadratic(torch.ones(2, 3).double(), torch.ones(2, 3).double())
print(asgd.serve(problem, asgd.METHODS["asgd"](lr=0.1), arrivals=20).trace)
"""


def run_script(folder, text):
    (folder / "script.py").write_text(text)
    return subprocess.run([sys.executable, folder / "script.py"], capture_output=True, text=True, timeout=120, check=False)


def test_a_script_needs_no_guard(tmp_path):
    ran = run_script(tmp_path, SCRIPT)
    assert ran.stdout.splitlines() == ["once", "Trace(n=2, arrivals=20, lost=0, in_flight=2)"] and not ran.stderr and not ran.returncode


def test_a_script_with_a_problem_of_its_own_needs_one_and_is_told_so(tmp_path):
    own = SCRIPT.replace('print("once")', "class Mine(asgd.problems.Quadratic): pass")
    own = own.replace("asgd.problems.Quadratic(torch", "Mine(torch")
    assert "serve(...) must stand under `if __name__ == '__main__':`" in run_script(tmp_path, own).stderr
    guarded = own.replace("problem =", 'if __name__ == "__main__":\n    problem =').replace("print(asgd", "    print(asgd")
    assert run_script(tmp_path, guarded).stdout == "Trace(n=2, arrivals=20, lost=0, in_flight=2)\n"
