"""What real runs refuse, and the way out that the sentence names: sessions, folders, journals, numbers of processes, machines."""

import os
import subprocess
import sys
import time

import pytest
from hierarchies import digits
from serving import SECONDS, noisy

from asgd_lib import METHODS, problems, serve
from asgd_lib.distributed import gang
from asgd_lib.distributed.children import Fault
from asgd_lib.distributed.hierarchy import run_hierarchy
from asgd_lib.distributed.server import Server
from asgd_lib.distributed.slow_link import SlowLink
from asgd_lib.journal import ARRIVED, BACK, BEGUN, LOST, QUEUED, Event

METHOD = METHODS["asgd"](0.02)
SESSION = """
import torch
from asgd_lib import METHODS, problems, serve
from asgd_lib.distributed.hierarchy import run_hierarchy

class Mine(problems.Quadratic): pass

def job():
    problem = Mine(torch.ones(2, 3).double(), torch.ones(2, 3).double())
    return {}

"""
GUARDED = SESSION.format("run_hierarchy(problem, METHODS['sgd_minibatch'](0.1), nodes=2, batches=3).trace") + """
if __name__ == "__main__":
    print(job())
"""


@pytest.mark.parametrize(("call", "words"), [
    ("serve(problem, METHODS['asgd'](0.1), arrivals=5)", "The problem uses a class or function of this session; move it to a module"),
    ("run_hierarchy(problem, METHODS['sgd_minibatch'](0.1), nodes=2, batches=3)", "put it into a module, not into a notebook."),
])  # fmt: skip
def test_a_class_of_an_interactive_session_is_refused_with_the_remedy(call, words):
    code = f"{SESSION.format(call)}try: job()\nexcept ValueError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=3 * SECONDS)
    assert words in done.stdout


def test_a_class_of_a_guarded_script_trains(tmp_path):
    (tmp_path / "script.py").write_text(GUARDED)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert done.stdout == "Trace(n=2, arrivals=6, lost=0, in_flight=0)\n"


class Unloadable(problems.Quadratic):
    """Ends the process that should compute with it."""

    def __setstate__(self, state):
        os._exit(3)


def test_a_run_in_which_nothing_happened_is_no_run(tmp_path):
    with pytest.raises(RuntimeError, match="Worker . ended with code 3 before the run began"):
        serve(Unloadable(noisy().A, noisy().b), METHOD, arrivals=20, folder=tmp_path)
    assert (tmp_path / "journal").exists()
    assert len(serve(noisy(), METHOD, arrivals=20, folder=tmp_path, timeout=20.0).trace) == 20
    with pytest.raises(ValueError, match="holds a run already; go on with resume=True"):
        serve(noisy(), METHOD, arrivals=20, folder=tmp_path)


def test_a_checkpoint_without_the_journal_that_it_follows_is_refused(tmp_path):
    serve(noisy(), METHOD, arrivals=20, folder=tmp_path, timeout=20.0)
    (tmp_path / "journal").unlink()
    with pytest.raises(ValueError, match="checkpoint.pt is newer than the journal beside it; restore the journal, or delete"):
        serve(noisy(), METHOD, arrivals=20, folder=tmp_path, resume=True)


BEGUN_BOTH = [Event(BEGUN, 0, 0, 0, 0.0), Event(BEGUN, 1, 1, 0, 0.0)]


@pytest.mark.parametrize("strange", [
    Event(ARRIVED, 7, 0, 0, 0.0, 1.0),  # of a job that nobody has
    Event(ARRIVED, 1, 0, 0, 0.0, 1.0),  # of another worker's
    Event(LOST, 7, 0, 0, 0.0, 1.0),
    Event(BACK, 1, 0, 0, 0.0, 1.0),
    Event(BACK, 0, 9, 0, 0.0, 1.0),  # of a worker that there is not: waited for for ever, once
    Event(QUEUED, 2, 0, 0),
    Event(BEGUN, 2, 0, 0, 0.0),
    Event(9, 0, 0, 0, 0.0, 1.0),
])  # fmt: skip
def test_a_journal_that_no_run_of_this_method_wrote_is_refused(strange, tmp_path):
    server = Server(noisy(2), METHOD, 0)
    with pytest.raises(ValueError, match=f"The journal does not follow .*its event 3 is Event.kind={strange.kind}, job={strange.job}, "):
        server.relive([*BEGUN_BOTH, strange], tmp_path / "checkpoint.pt")


@pytest.fixture
def torchrun(monkeypatch):
    """The variables of a process that torchrun has started beside another."""
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)


def test_under_torchrun_the_number_of_processes_has_to_fit(torchrun):
    with pytest.raises(ValueError, match="4 workers and a server need 5 processes; torchrun started 2."):
        serve(noisy(), METHOD, arrivals=20)
    with pytest.raises(ValueError, match="torchrun started 2 processes, 2 on this node, and the job needs 2, 1 on each."):
        run_hierarchy(digits(2), METHODS["sgd_minibatch"](0.1), nodes=2, batches=3)


def test_under_torchrun_faults_and_slow_links_are_its_own_to_make(torchrun):
    with pytest.raises(ValueError, match="Faults are for processes that serve has started itself; under torchrun, send the signals"):
        serve(noisy(), METHOD, arrivals=20, faults=[Fault(3, 0, "kill")])
    link = SlowLink(2, 1e6)
    link.hosts = [object(), object()]
    with pytest.raises(ValueError, match="Under torchrun the processes are where it put them: run torchrun itself on each host"):
        run_hierarchy(digits(2), METHODS["sgd_minibatch"](0.1), nodes=2, batches=3, link=link)


def test_a_slow_link_has_to_be_entered_and_a_plateau_resolved():
    job = {"problem": digits(2), "nodes": 2, "batches": 4}
    with pytest.raises(ValueError, match="The slow link has 0 hosts .none outside its `with` block. and the job 2 nodes"):
        run_hierarchy(**job, method=METHODS["sgd_minibatch"](0.1), link=SlowLink(2, 1e6))
    plateau = METHODS["daso"](0.1, schedule="plateau", epoch=4, epochs=3, epoch_sync=True)
    with pytest.raises(ValueError, match="A real run needs its schedule in numbers; plateau_schedule"):
        run_hierarchy(**job, method=plateau)


def asleep(*_):
    time.sleep(SECONDS)


def test_processes_that_do_not_start_in_time_are_a_sentence(monkeypatch):
    monkeypatch.setattr(gang, "START", 0.5)
    monkeypatch.setattr(gang, "_member", asleep)
    with pytest.raises(RuntimeError, match="The processes did not start within 0.5 s; is the machine overloaded?"):
        run_hierarchy(digits(2), METHODS["sgd_minibatch"](0.1), nodes=2, batches=3)


TOOLS = {"unshare": "while [ \"$1\" != sh ]; do shift; done\nexec \"$@\"", "nsenter": "echo not today >&2; exit 1", "ip": "", "tc": ""}


@pytest.mark.parametrize(("broken", "words"), [
    ({}, "`ip link set lo up` failed in a network namespace: not today. Slow links need Linux"),
    ({"unshare": "exit 1"}, "`unshare -Urn` made no network namespace; is it allowed here? Slow links need Linux"),
])  # fmt: skip
def test_a_machine_that_allows_no_namespaces_says_so(broken, words, tmp_path, monkeypatch):
    for name, does in (TOOLS | broken).items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(RuntimeError) as caught, SlowLink(2, 1e6):
        pass
    assert words in str(caught.value)
