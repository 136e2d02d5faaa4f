"""Where a process of a real run stands, and what is refused: variables that make no sense, names and ports that cannot be had."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from serving import SECONDS

from asgd_lib.distributed.link import LOOPBACK
from asgd_lib.distributed.torchrun import Place, place
from asgd_lib.serve import main

START = {"RANK": "2", "WORLD_SIZE": "5", "LOCAL_WORLD_SIZE": "5", "MASTER_ADDR": "node7", "MASTER_PORT": "29500"}
RUN = ["--problem", "serving:noisy", "--method", "asgd", "--lr", "0.02", "--arrivals", "20", "--timeout", "10"]
ELSEWHERE = {"WORLD_SIZE": "5", "LOCAL_WORLD_SIZE": "2"}  # processes on other machines, too


def test_places():
    assert place({}) is None and place({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert place(START) == Place(2, 5, "node7", 29500, LOOPBACK)
    agent = place(START | {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "3"})
    assert agent.agent and agent.attempt == "3"


@pytest.mark.parametrize(("variables", "words"), [
    ({"MASTER_ADDR": None, "MASTER_PORT": None}, "are set, but not MASTER_ADDR and MASTER_PORT: say where the server is"),
    ({"MASTER_ADDR": ""}, "are set, but not MASTER_ADDR: say where the server is"),  # else the server would listen everywhere
    ({"MASTER_PORT": "http"}, "MASTER_PORT must be a whole number of at least 1 and at most 65535; got 'http'"),
    ({"MASTER_PORT": "65536"}, "MASTER_PORT must be a whole number of at least 1 and at most 65535; got 65536"),
    ({"WORLD_SIZE": "many"}, "WORLD_SIZE must be a whole number of at least 1; got 'many'"),
    ({"RANK": "one"}, "RANK must be a whole number of at least 0 and at most 4; got 'one'"),
    ({"RANK": "5"}, "RANK must be a whole number of at least 0 and at most 4; got 5"),  # nobody would ever talk to it
    ({"RANK": "-1"}, "RANK must be a whole number of at least 0 and at most 4; got -1"),
    (ELSEWHERE | {"MASTER_ADDR": "no.such.invalid"}, "MASTER_ADDR is 'no.such.invalid', and there is no way from here"),
])  # fmt: skip
def test_variables_that_make_no_sense_are_refused_in_a_sentence(variables, words):
    environment = {name: value for name, value in (START | variables).items() if value is not None}
    with pytest.raises((ValueError, OSError), match=words):
        place(environment)


def test_the_refusal_is_all_that_the_command_says():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RANK": "0", "WORLD_SIZE": "2"}
    call = [sys.executable, "-m", "asgd_lib.serve", *RUN]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS, cwd=Path(__file__).parent)
    said = "asgd_lib.serve: RANK and WORLD_SIZE are set, but not MASTER_ADDR and MASTER_PORT: say where the server is.\n"
    assert done.returncode == 1 and (done.stdout, done.stderr) == ("", said)


@pytest.mark.parametrize("address", [LOOPBACK, "192.0.2.1"])  # a port that is taken, and an address (RFC 5737) that is nobody's
def test_a_server_that_cannot_listen_says_where_and_leaves_no_run_behind(address, tmp_path, monkeypatch, capsys):
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        server = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": address, "MASTER_PORT": str(port)}
        for name, value in server.items():
            monkeypatch.setenv(name, value)
        assert main([*RUN, "--folder", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"asgd_lib.serve: The server, process 0, cannot listen at {address}:{port} (")
    assert said.endswith("Set MASTER_ADDR to its own machine and MASTER_PORT to a free port, for all processes.\n")
    assert not list(tmp_path.iterdir())  # nor is the next attempt told that a run is there already
