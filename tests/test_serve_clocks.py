"""Somebody sets the wall clock while a run goes on: no time runs backwards, no timeout comes early or never, and the journal goes on."""

import itertools
import threading
import time

import numpy as np
import pytest
import torch
from serving import SECONDS, noisy, replayed

from asgd_lib import METHODS, Trace, clusters
from asgd_lib.distributed.link import LOOPBACK, Gone, connect, listen
from asgd_lib.distributed.session import Run
from asgd_lib.distributed.torchrun import Place, work_at
from asgd_lib.distributed.worker import work

METHOD = METHODS["dude"](0.02)
LEAST = 0.004  # s that a gradient takes, injected


@pytest.fixture(autouse=True)
def jumping(monkeypatch):
    """At every look the wall clock has been set: back by a year, right, on by a year."""
    true, years = {name: getattr(time, name) for name in ("time", "time_ns")}, itertools.cycle((-1, 0, 1))
    monkeypatch.setattr(time, "time", lambda: true["time"]() + 3e7 * next(years))
    monkeypatch.setattr(time, "time_ns", lambda: true["time_ns"]() + 30_000_000_000_000_000 * next(years))
    looks = [time.time() for _ in range(3)]
    assert looks != sorted(looks) or looks[2] - looks[0] > 1e7


def served(arrivals, folder=None, resume=False, seconds=LEAST, timeout=SECONDS, present=4):
    """A run whose server and workers are threads of this process, so that all see the same clock."""
    store, port = listen()
    run = Run(noisy(), METHOD, arrivals, clusters.Fixed((seconds,) * 4), 0, folder, resume, 0.05, timeout)
    run.open()
    for worker in range(present):
        threading.Thread(target=work, args=(noisy(), worker, connect(LOOPBACK, port), 0, LOOPBACK), daemon=True).start()
    return run.serve(store, lambda: connect(LOOPBACK, port), LOOPBACK)


def test_a_run_and_its_resumption_keep_time(tmp_path):
    began = time.monotonic()
    first = served(40, tmp_path)
    more = served(100, tmp_path, resume=True)
    elapsed, trace = time.monotonic() - began, more.trace
    took = trace.end - trace.start
    assert LEAST <= took.min() and took.max() < elapsed and 0 <= trace.start.min() and trace.end[-1] < elapsed
    assert (np.diff(trace.end) >= 0).all() and trace.end[40] >= first.trace.end[-1]
    assert 0 < first.busy < first.seconds < elapsed and 0 < more.busy < more.seconds < elapsed
    assert len(trace) == 100 and trace == Trace.load(tmp_path / "journal") == Trace.load(tmp_path / "trace.npz")
    assert torch.equal(more.x, replayed(trace, METHOD, noisy()))


def refused(words, call):
    """The seconds after which a call ended with a timeout."""
    began = time.monotonic()
    with pytest.raises((TimeoutError, ConnectionError), match=words):
        call()
    return time.monotonic() - began


def test_timeouts_come_when_they_should():
    assert 0.5 <= refused("Workers .3. did not join within 0.5 s", lambda: served(5, timeout=0.5, present=3)) < SECONDS
    late = r"Nothing has arrived for 0.5 s. dude waits: worker . has had its job for [0-9]{1,2}\.[0-9] s, "
    assert 0.5 <= refused(late, lambda: served(5, seconds=2.0, timeout=0.5)) < SECONDS


def test_a_worker_waits_as_long_as_it_was_told_for_its_server_to_come_back(monkeypatch):
    def gone(*_):
        raise Gone

    monkeypatch.setattr(Place, "store", gone)
    back = "The server at 127.0.0.1:1 is gone, and did not come back within 0.5 s."
    assert 0.5 <= refused(back, lambda: work_at(noisy(), Place(1, 5, LOOPBACK, 1), 0, 0.5, {})) < SECONDS
