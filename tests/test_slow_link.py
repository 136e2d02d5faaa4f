"""Hosts behind lines of limited rate: the limit is real, a node's own traffic is free, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hierarchies import Harmed, apart, digits, gone

from asgd_lib import METHODS, clusters
from asgd_lib.distributed import slow_link
from asgd_lib.distributed.hierarchy import run_hierarchy
from asgd_lib.distributed.slow_link import SlowLink

REASON = slow_link.available()
needs_namespaces = pytest.mark.skipif(REASON is not None, reason=str(REASON))

SERVE = """
import socket, sys, time
with socket.create_server((sys.argv[1], 0)) as server:
    print(server.getsockname()[1], flush=True)
    peer, _ = server.accept()
    began, received = time.monotonic(), 0
    while part := peer.recv(1 << 20):
        received += len(part)
    print(received, time.monotonic() - began)
"""
SEND = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); s.sendall(bytes(int(sys.argv[3]))); s.close()"


def seconds(link: SlowLink, source: int, target: int, size: int) -> float:
    """How long `size` bytes take from host to host."""
    server, client = link.hosts[target], link.hosts[source]
    listen = [*server.inside, sys.executable, "-c", SERVE, server.address]
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip()
        subprocess.run([*client.inside, sys.executable, "-c", SEND, server.address, port, str(size)], check=True, timeout=60)
        received, took = process.communicate(timeout=60)[0].split()
    assert int(received) == size
    return float(took)


@needs_namespaces
@pytest.mark.slow
def test_the_rate_is_limited_between_hosts_and_not_within():
    bandwidth, size = 4e6, 2_000_000
    with SlowLink(3, bandwidth) as link:
        for source, target in ((0, 1), (2, 0)):
            took, least = seconds(link, source, target, size), (size - 2 * link.burst) / bandwidth
            print(f"{source} to {target}: {took:.3f} s, at least {least:.3f} s")
            assert least <= took
            assert took <= 3 * size / bandwidth, "the line stalls"
        assert seconds(link, 1, 1, size) < 0.5 * size / bandwidth


@needs_namespaces
@pytest.mark.slow
def test_a_job_over_slow_lines_pays_for_its_sums_and_replays():
    problem, bandwidth, batches = digits(4, hidden=40), 2e5, 8
    size = problem.x0.nbytes  # in a ring of two nodes each sends as much
    method = METHODS["daso"](0.2, per_node=2, skip=0, wait=0)
    with SlowLink(2, bandwidth) as link:
        run = run_hierarchy(problem, method, nodes=2, per_node=2, batches=batches, link=link, timeout=30)
    assert run.trace.meta["bandwidth"] == "200000 bytes/s"
    assert apart(run, method, problem) < 1e-12
    least = batches * (size - 2 * link.burst) / bandwidth
    print(f"{run.exposed[0]:.3f} s of communication, at least {least:.3f} s")
    assert least > 0 and run.exposed[0] > least


@needs_namespaces
@pytest.mark.slow
def test_waiting_hides_the_sums_of_a_slow_line():
    """A sum of 0.05 s is hidden behind a batch of 0.08 s, and is not where it blocks; the bound is far from both."""
    problem, bandwidth = digits(2, hidden=40), 5e5
    size, rows = problem.x0.nbytes, {}
    with SlowLink(2, bandwidth) as link:
        for name, hyper in {"blocking": {"skip": 1, "wait": 0}, "hidden": {"skip": 1, "wait": 1}}.items():
            run = run_hierarchy(
                problem, METHODS["daso"](0.2, **hyper), nodes=2, batches=16, link=link, cluster=clusters.equal(2, 0.08), timeout=30
            )
            rows[name] = run.exposed[0] / 16
    print({name: f"{1e3 * value:.1f} ms" for name, value in rows.items()}, f"a sum needs {1e3 * size / bandwidth:.1f} ms")
    assert rows["hidden"] < 0.5 * rows["blocking"]


@needs_namespaces
def test_everything_is_gone_after_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="Process 1 of 2 was killed by SIGKILL"):
        with SlowLink(2, 1e7) as link:
            holders = [host.pid for host in link.hosts]
            run_hierarchy(Harmed(2, tmp_path), METHODS["daso"](0.1), nodes=2, batches=50, link=link, timeout=20)
    assert link.hosts == [] and gone(tmp_path)
    assert not [pid for pid in holders if Path(f"/proc/{pid}").exists()]
    with pytest.raises(ValueError, match="The slow link has 0 hosts .none outside its `with` block. and the job 2 nodes."):
        run_hierarchy(digits(2), METHODS["daso"](0.1), nodes=2, batches=1, link=link)


HOLD = """
import time
from asgd_lib.distributed.slow_link import SlowLink
with SlowLink(2, 1e6) as link:
    print(*[host.pid for host in link.hosts], flush=True)
    time.sleep(600)
"""


@needs_namespaces
def test_everything_is_gone_after_a_kill(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as process:
        for number in process.stdout.readline().split():
            assert Path(f"/proc/{number}").exists()
            (tmp_path / number).touch()
        process.kill()
    assert len(list(tmp_path.iterdir())) == 2 and gone(tmp_path)


@needs_namespaces
def test_hosts_are_not_reached_from_outside():
    with SlowLink(1, 1e6) as link:
        address = link.hosts[0].address
        assert address not in subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True).stdout
        assert address in subprocess.run([*link.hosts[0].inside, "ip", "-o", "addr"], capture_output=True, text=True, check=True).stdout


def test_a_machine_without_the_tools_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    slow_link.available.cache_clear()
    try:
        reason = slow_link.available()
        assert reason.startswith("There is no unshare, no nsenter, no ip, no tc on this machine. Slow links need Linux")
        with pytest.raises(RuntimeError, match="There is no unshare"):
            SlowLink(2, 1e6).__enter__()
    finally:
        slow_link.available.cache_clear()


@pytest.mark.parametrize(("arguments", "sentence"), [((0, 1e6), "hosts must be"), ((300, 1e6), "at most 200"), ((2, 0.0), "bandwidth")])
def test_numbers_that_make_no_sense(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        SlowLink(*arguments)
