"""A real run whose processes somebody else starts: `torchrun`, Slurm, or a person on several machines."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist

from asgd_lib.checks import count
from asgd_lib.distributed.link import CONNECT, LOOPBACK, Gone, connect, listen, or_gone
from asgd_lib.distributed.worker import work
from asgd_lib.problems import Problem

_SAME = "same"  # key of what the server has announced
_ASLEEP = 0.2  # s between two attempts to reach the server


@dataclass(frozen=True)
class Place:
    """Where a process stands: rank 0 is the server, rank w + 1 is worker w, and they meet at `address:port`."""

    rank: int
    size: int
    address: str
    port: int
    host: str = LOOPBACK  # the address of this machine to which sockets are bound
    agent: bool = False  # torchrun's agent listens at the port already
    attempt: str = "0"  # torchrun's restarts do not see each other's keys

    def store(self, seconds: float = CONNECT) -> dist.Store:
        """The store where all meet; rank 0 opens it. Gone where it does not answer within `seconds`, OSError where it cannot be opened."""
        if self.rank or self.agent:
            store = connect(self.address, self.port, seconds)
        else:
            try:
                store = listen(socket.gethostbyname(self.address), self.port)[0]
            except OSError as error:
                raise OSError(
                    f"The server, process 0, cannot listen at {self.address}:{self.port} ({_why(error)}). "
                    "Set MASTER_ADDR to its own machine and MASTER_PORT to a free port, for all processes."
                ) from error
        return dist.PrefixStore(f"asgd_lib/{self.attempt}", store)

    def line(self) -> dist.Store:
        """Another connection to the same store."""
        return dist.PrefixStore(f"asgd_lib/{self.attempt}", connect(self.address, self.port))


def place(environment: Mapping[str, str] | None = None) -> Place | None:
    """This process's place by the variables that torchrun sets (default: in `os.environ`), None where it has not been started so.

    Sockets are bound to the loopback interface where all processes share one machine, and else to the address that faces `MASTER_ADDR`.
    Raises ValueError where RANK and WORLD_SIZE are there, but not MASTER_ADDR and MASTER_PORT, and where one of them makes no sense.
    """
    environment = os.environ if environment is None else environment
    if "RANK" not in environment or (size := _number(environment, "WORLD_SIZE", 1)) < 2:
        return None
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
    if missing:
        raise ValueError(f"RANK and WORLD_SIZE are set, but not {' and '.join(missing)}: say where the server is.")
    rank, port = _number(environment, "RANK", 0, size - 1), _number(environment, "MASTER_PORT", 1, 65535)
    address = environment["MASTER_ADDR"]
    together = environment.get("LOCAL_WORLD_SIZE") == environment["WORLD_SIZE"] or address in ("localhost", LOOPBACK)
    host = LOOPBACK if together else _facing(address, port)
    agent = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return Place(rank, size, address, port, host, agent, environment.get("TORCHELASTIC_RESTART_COUNT", "0"))


def announce(store: dist.Store, same: Mapping[str, str]) -> None:
    """Say, as the server, what all processes of this run must have in common."""
    store.set(_SAME, json.dumps(dict(same)))


def work_at(problem: Problem, here: Place, seed: int, patience: float, same: Mapping[str, str]) -> None:
    """Be worker `here.rank - 1` until the server says stop.

    Raises ConnectionError where it is gone for more than `patience` seconds, and ValueError where what it has announced is not `same`: the
    gradients would be those of another problem, and no replay of the run's trace would give its models again.
    """
    torch.set_num_threads(1)
    since = time.monotonic()
    while True:
        try:
            store = here.store(max(1.0, min(patience, CONNECT)))
            _agree(store, here.rank - 1, same)
            if work(problem, here.rank - 1, store, seed, here.host):
                return
            since = time.monotonic()
        except Gone:
            pass
        if time.monotonic() - since > patience:
            raise ConnectionError(f"The server at {here.address}:{here.port} is gone, and did not come back within {patience:g} s.")
        time.sleep(_ASLEEP)


def _agree(store: dist.Store, worker: int, same: Mapping[str, str]) -> None:
    with or_gone():
        servers = json.loads(store.get(_SAME))
    for name in {**servers, **same}:
        if servers.get(name) != same.get(name):
            raise ValueError(
                f"Worker {worker} was started with {name} = {same.get(name)!r}, and the server with {servers.get(name)!r}: "
                "start all processes with the same line."
            )


def _number(environment: Mapping[str, str], name: str, least: int, most: int | None = None) -> int:
    given = environment.get(name, "1")
    try:
        given = int(given)
    except ValueError:
        pass  # to be refused as it stands there
    return count(name, given, least, most)


def _facing(address: str, port: int) -> str:
    """This machine's address on the route to `address`; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
            return probe.getsockname()[0]
    except OSError as error:
        raise OSError(f"MASTER_ADDR is {address!r}, and there is no way from here ({_why(error)}): name the server's machine.") from error


def _why(error: OSError) -> str:
    """The operating system's words, without the address that Python adds to some."""
    return str(error.strerror or error).partition(" (while")[0]
