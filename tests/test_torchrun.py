"""Processes that others start: torchrun, and people on several machines."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from serving import SECONDS, noisy, replayed, wait_for

from asgd_lib import METHODS, Trace
from asgd_lib.distributed.lines import JOINED
from asgd_lib.distributed.link import LOOPBACK, connect, listen
from asgd_lib.distributed.session import Run
from asgd_lib.distributed.torchrun import Place, announce, work_at
from asgd_lib.distributed.worker import STOP, work
from asgd_lib.serve import main

HERE = Path(__file__).parent
RUN = ["--problem", "serving:noisy", "--method", "dude", "--lr", "0.02", "--cluster", "Exponential:0.004", "--timeout", "30"]


def command(*arguments, **variables):
    """Start `python -m asgd_lib.serve`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        [sys.executable, "-m", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(process) -> str:
    """What it said; it must have ended well."""
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    return said


def free_port() -> str:
    with socket.create_server((LOOPBACK, 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.mark.slow
def test_torchrun(tmp_path):
    port = free_port()
    run = command(
        "torch.distributed.run", "--nproc-per-node", "4", "--master-port", port, "-m", "asgd_lib.serve", *RUN, "--arrivals", "90",
        "--folder", str(tmp_path),
    )  # fmt: skip
    assert "Trace(n=3, arrivals=90, lost=0, in_flight=3)" in ended(run)
    trace = Trace.load(tmp_path / "trace.npz")
    assert trace == Trace.load(tmp_path / "journal") and trace.meta["method"] == "dude"


@pytest.mark.slow
def test_a_server_and_a_worker_are_killed_and_started_again_by_hand(tmp_path):
    where = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port(), "WORLD_SIZE": "4"}
    folder = ["--arrivals", "400", "--folder", str(tmp_path)]
    everybody = [command("asgd_lib.serve", *RUN, *folder, RANK=str(rank), **where) for rank in range(4)]
    try:
        wait_for(tmp_path, 40)
        everybody[1].send_signal(signal.SIGKILL)
        wait_for(tmp_path, 80)
        everybody.append(command("asgd_lib.serve", *RUN, *folder, RANK="1", **where))
        everybody[0].send_signal(signal.SIGKILL)  # two workers wait for the server to come back, and the third is on its way
        server = command("asgd_lib.serve", *RUN, *folder, "--resume", RANK="0", **where)
        everybody.append(server)
        assert "arrivals=400" in ended(server)
        for worker in everybody[2:5]:
            ended(worker)
    finally:
        for process in everybody:
            process.kill()
            process.communicate()
    trace = Trace.load(tmp_path / "trace.npz")
    assert len(trace) == 400 and trace == Trace.load(tmp_path / "journal")
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    x = checkpoint["state"]["fields"][0][0]
    assert torch.equal(x, replayed(trace, METHODS["dude"](0.02), noisy(3)))


def test_a_server_that_ends_while_a_worker_joins_is_gone_and_no_error():
    store, port = listen()
    line = connect(LOOPBACK, port)
    del store
    assert not work(noisy(), 0, line, 0, LOOPBACK)  # so that the worker waits for the server to be back


def test_a_worker_that_joins_at_the_very_end_is_sent_home_too():
    class Late:
        worker, told = 2, []
        give = told.append

        def join(self, seconds):
            assert seconds >= 0

    run = Run(noisy(), METHODS["asgd"](0.02), 5, None, 0, None, False, 30.0, 5.0)
    run.open()
    run._events.put((JOINED, Late(), None))
    run._finish(None)
    assert Late.told == [STOP]


@pytest.mark.parametrize(("name", "mine"), [("seed", "1"), ("problem", None), ("commit", "3f2a")])
def test_a_worker_of_another_run_is_refused(name, mine):
    store, port = listen()
    servers = {"seed": "0", "problem": "noisy"}
    announce(dist.PrefixStore("asgd_lib/0", store), servers)
    same = {key: value for key, value in (servers | {name: mine}).items() if value is not None}
    said = (
        f"Worker 1 was started with {name} = {mine!r}, and the server with {servers.get(name)!r}: start all processes with the same line."
    )
    with pytest.raises(ValueError, match=re.escape(said)):
        work_at(noisy(), Place(2, 3, LOOPBACK, port), 0, 5.0, same)


@pytest.mark.slow
@pytest.mark.parametrize(("own", "words"), [
    (["--batch", "4"], "problem = 'softmax:iris, batch 4, split evenly', and the server with 'softmax:iris, batch 8, split evenly'"),
    (["--problem", "mlp:iris"], "coordinates = '1027 of torch.float32', and the server with '15 of torch.float32'"),
    (["--seed", "2"], "seed = '2', and the server with '0'"),
])  # fmt: skip
def test_one_process_was_started_with_another_line(own, words):
    where = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port(), "WORLD_SIZE": "3"}
    line = ["--problem", "softmax:iris", "--batch", "8", "--method", "asgd", "--lr", "0.1", "--arrivals", "30", "--timeout", "3"]
    everybody = [command("asgd_lib.serve", *line, *(own if rank == 2 else ()), RANK=str(rank), **where) for rank in range(3)]
    said = [process.communicate(timeout=SECONDS)[0] for process in everybody]
    assert said[2] == f"asgd_lib.serve: Worker 1 was started with {words}: start all processes with the same line.\n"
    assert said[0] == "asgd_lib.serve: Workers [1] did not join within 3 s.\n" and said[1] == ""
    assert [process.returncode for process in everybody] == [1, 0, 1]


REFUSED = {
    ("--problem", "softmax:digits"): "Say how many workers to start",
    ("--problem", "softmax", "--workers", "2"): "A problem is KIND:DATA",
    ("--problem", "nothing:here", "--workers", "2"): "neither one of softmax",
    ("--problem", "softmax:digits", "--workers", "2", "--set", "momentum"): "A setting is KEY=VALUE",
    ("--problem", "softmax:digits", "--workers", "2", "--cluster", "Fixed:1,2,3"): "'Fixed:1,2,3' has 3 numbers",
    ("--problem", "softmax:digits", "--workers", "2", "--set", "wings=2"): "No method here has a hyperparameter 'wings'",
    ("--problem", "softmax:digits", "--workers", "2", "--method", "wings"): "There is no method 'wings'",
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.items())
def test_the_command_line_refuses_with_a_sentence(arguments, words, capsys):
    assert main(["--method", "asgd", *arguments, "--lr", "0.1", "--arrivals", "10"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("asgd_lib.serve: ") and words in said


@pytest.mark.slow
def test_sockets_listen_on_the_loopback_interface_alone(tmp_path):
    run = command("asgd_lib.serve", *RUN, "--arrivals", "100000", "--workers", "3", "--folder", str(tmp_path))
    try:
        wait_for(tmp_path, 20)
        addresses = listening(run.pid)
        assert addresses and addresses <= {"0100007F"}
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=SECONDS)
    assert len(Trace.load(tmp_path / "trace.npz")) == len(Trace.load(tmp_path / "journal"))  # Ctrl-C, too, leaves a whole trace


def listening(number: int) -> set[str]:
    """Local addresses (hexadecimal, as the kernel writes them) on which a process listens."""
    inodes = set()
    for name in os.listdir(f"/proc/{number}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{number}/fd/{name}"))
        except OSError:
            pass
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1].split(":")[0])
    return found
