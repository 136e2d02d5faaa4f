"""Workers and servers that are killed, frozen, thawed and started again: no hang, no lost gradient, and the replay is the run."""

import os
import random
import re
import resource
import signal
import time

import pytest
import torch
from serving import SECONDS, kill_after, noisy, replayed, server_process

from asgd_lib import METHODS, Trace, clusters, journal, serve
from asgd_lib.distributed.children import Children, Fault
from asgd_lib.distributed.machine import Machine
from asgd_lib.distributed.server import Server

pytestmark = pytest.mark.slow
ARRIVALS = 160
METHOD_OF = {
    "asgd": {}, "dude": {}, "sgd_minibatch": {}, "fedbuff": {"buffer": 3}, "ormo": {}, "hogwild_local": {"samples": 6},
    "asgd_random": {}, "local_sgd": {"local_steps": 2}, "shifted_momentum": {}, "mifa": {},
}  # fmt: skip


def script(number: int) -> tuple[str, dict, int, list[Fault], list[int]]:
    """A method, n workers, faults that every method survives, and the arrivals at which the server itself is killed."""
    draw = random.Random(number)
    name = list(METHOD_OF)[number % len(METHOD_OF)]
    n, faults = draw.choice((3, 4)), []
    for _ in range(draw.randint(1, 4)):
        after, worker = draw.randint(1, ARRIVALS - 40), draw.randrange(n)
        if draw.random() < 0.5:  # what is thawed or joins at once still had its job lost, or its answer late
            faults += [Fault(after, worker, "kill"), Fault(after, worker, "join")]
        else:
            faults += [Fault(after, worker, "freeze"), Fault(after, worker, "thaw")]
    if name in ("asgd", "dude", "ormo", "fedbuff", "shifted_momentum"):  # whoever does not wait does not need the last worker
        faults.append(Fault(draw.randint(10, ARRIVALS), n - 1, draw.choice(("kill", "freeze"))))
    kills = sorted(draw.sample(range(10, ARRIVALS - 10), draw.choice((1, 1, 2)))) if number % 3 == 0 else []
    return name, METHOD_OF[name], n, sorted(faults, key=lambda f: f.after), kills


@pytest.mark.parametrize("number", range(20))
def test_a_run_survives(number, tmp_path):
    name, hyper, n, faults, kills = script(number)
    method, problem, folder = METHODS[name](0.02, **hyper), noisy(n), tmp_path / "run"
    seen = []
    for kill in kills:
        process = server_process(name, hyper, n, ARRIVALS, folder, bool(seen), [f for f in faults if f.after < kill])
        kill_after(process, folder, kill)
        seen.append(Trace.load(folder / "journal"))
        assert kill <= len(seen[-1]) < ARRIVALS
    if kills:
        process = server_process(name, hyper, n, ARRIVALS, folder, True, [f for f in faults if f.after >= kills[-1]])
        process.join(SECONDS)
        assert process.exitcode == 0
        trace, x = Trace.load(folder / "trace.npz"), torch.load(folder / "x.pt", weights_only=True)
    else:
        cluster = clusters.Exponential((0.002,) * n)
        served = serve(problem, method, arrivals=ARRIVALS, cluster=cluster, seed=7, folder=folder, timeout=SECONDS / 3, faults=faults)
        trace, x = served.trace, served.x
    assert len(trace) == ARRIVALS and trace == Trace.load(folder / "journal")
    for early in seen:  # what the killed server had applied is all there, in its place
        rows = early.frame()
        assert rows.equals(trace.frame()[: len(rows)])
    assert torch.equal(x, replayed(trace, method, problem, seed=7))
    events = list(journal.events(folder / "journal"))
    assert sum(e.kind == journal.ARRIVED for e in events) == ARRIVALS


def test_the_scripts_hold_every_fault():
    scripts = [script(number) for number in range(20)]
    assert {f.action for s in scripts for f in s[3]} == {"kill", "freeze", "thaw", "join"}
    assert {s[0] for s in scripts} == set(METHOD_OF) and sum(len(s[4]) for s in scripts) >= 7


def test_the_rest_go_on_without_a_killed_and_a_frozen_worker():
    faults = [Fault(20, 0, "kill"), Fault(20, 1, "freeze")]
    served = serve(noisy(), METHODS["asgd"](0.02), arrivals=120, cluster=clusters.Fixed((0.005,) * 4), faults=faults, timeout=20.0)
    late = served.trace.worker[40:]
    assert set(late.tolist()) == {2, 3}
    gone = served.trace.lost[served.trace.lost["worker"] == 0]
    assert len(gone) == 1 and gone["end"][0] < served.trace.end[-1]  # its loss is in the trace, with its time
    assert 1 in served.trace.in_flight["worker"]


def test_a_worker_may_join_late():
    cluster, late = clusters.Fixed((0.004,) * 4), [Fault(40, 3, "join")]
    served = serve(noisy(), METHODS["asgd"](0.02), arrivals=150, cluster=cluster, faults=late, timeout=20.0)
    by_three = served.trace.worker == 3
    assert by_three.any() and by_three.argmax() >= 40
    assert (served.trace.read[by_three] >= 40).all()  # it begins at the model of the day, not at the first one


@pytest.mark.parametrize("action", ["kill", "freeze"])
def test_a_synchronous_method_says_whom_it_waits_for(action):
    began = time.monotonic()
    words = "worker 2 is gone" if action == "kill" else "worker 2 has had its job for"
    with pytest.raises(TimeoutError, match=f"Nothing has arrived for 0.8 s. sgd_minibatch waits: {words}"):
        serve(noisy(), METHODS["sgd_minibatch"](0.02), arrivals=100, faults=[Fault(21, 2, action)], timeout=0.8)
    assert time.monotonic() - began < 20.0


def test_workers_that_never_succeed_are_not_waited_for_for_ever():
    # Each of them answers all the time, without a gradient: there is always something to hear.
    hasty, cluster = METHODS["mindflayer"](0.02, limit=0.01), clusters.Fixed((0.05,) * 4)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(int(SECONDS))
    try:
        with pytest.raises(TimeoutError, match="Nothing has arrived for 0.8 s. mindflayer"):
            serve(noisy(), hasty, arrivals=10, cluster=cluster, timeout=0.8)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_nobody_is_left_behind(monkeypatch):
    seen, start = [], Children.start

    def watched(self, worker):
        start(self, worker)
        seen.append(self._processes[worker].pid)

    monkeypatch.setattr(Children, "start", watched)
    with pytest.raises(TimeoutError):
        serve(noisy(), METHODS["sgd_minibatch"](0.02), arrivals=100, faults=[Fault(21, 2, "freeze")], timeout=0.5)
    assert len(seen) == 4 and not any(os.path.exists(f"/proc/{number}") for number in seen)


def test_a_journal_of_another_method_is_refused(tmp_path):
    serve(noisy(), METHODS["asgd"](0.02), arrivals=40, folder=tmp_path, timeout=20.0)
    (tmp_path / "checkpoint.pt").unlink()
    lines = (tmp_path / "journal").read_bytes()
    barrier = METHODS["sgd_minibatch"](0.02)
    for old, new in ((b"Greedy()", b"Barrier()"), (b'"asgd"', b'"sgd_minibatch"')):
        lines = lines.replace(old, new, 1)
    (tmp_path / "journal").write_bytes(re.sub(rb'"crc32": \d+, ', b"", lines, count=1))  # older journals have none
    with pytest.raises(ValueError, match="The journal does not follow from this method, problem and seed"):
        serve(noisy(), barrier, arrivals=60, folder=tmp_path, resume=True)


MOMENTS = [(Server, "_note", False), (Machine, "receive", False), (Machine, "receive", True), (Machine, "hand_out", True)]


@pytest.mark.parametrize(("kind", "name", "after"), MOMENTS, ids=lambda v: str(getattr(v, "__name__", v)))
def test_ctrl_c_in_the_middle_of_an_event_loses_nothing(kind, name, after, tmp_path, monkeypatch):
    method, calls, real = METHODS["dude"](0.02), [], getattr(kind, name)

    def interrupted(self, *arguments):
        calls.append(None)
        if len(calls) == 90 and not after:
            raise KeyboardInterrupt
        real(self, *arguments)
        if len(calls) == 90:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kind, name, interrupted)
        serve(noisy(), method, arrivals=120, folder=tmp_path, checkpoint_every=0.01, timeout=20.0)
    assert Trace.load(tmp_path / "trace.npz") == (cut := Trace.load(tmp_path / "journal")) and 20 < len(cut) < 120
    served = serve(noisy(), method, arrivals=120, folder=tmp_path, resume=True, timeout=20.0)
    assert served.trace.frame()[: len(cut)].equals(cut.frame())
    assert torch.equal(served.x, replayed(served.trace, method, noisy()))


def test_a_full_disk_stops_a_run_with_a_sentence_and_a_larger_one_takes_it_on(tmp_path):
    method, (soft, hard) = METHODS["dude"](0.02), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        with pytest.raises(OSError, match=r"journal could not be written .*Free some space"):
            serve(noisy(), method, arrivals=120, folder=tmp_path, checkpoint_every=0.01, timeout=20.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    served = serve(noisy(), method, arrivals=120, folder=tmp_path, resume=True, timeout=20.0)
    assert torch.equal(served.x, replayed(served.trace, method, noisy()))


def test_a_journal_that_was_not_begun_is_no_run(tmp_path):
    (tmp_path / "journal").touch()  # what a full disk leaves, or a kill at the worst moment
    for resume in (False, True):
        assert len(serve(noisy(), METHODS["asgd"](0.02), arrivals=20, folder=tmp_path, resume=resume, timeout=20.0).trace) == 20
        (tmp_path / "journal").write_bytes(b"")
        (tmp_path / "checkpoint.pt").unlink()
