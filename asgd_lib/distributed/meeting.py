"""How the processes of a gang find each other: one listens, on its own address alone, and the others are told where."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from multiprocessing.connection import Connection

import torch.distributed as dist

from asgd_lib.distributed.link import LOOPBACK
from asgd_lib.distributed.slow_link import Host

START = 120.0  # s for a process to start and to import the library on a busy machine


def join(rank: int, size: int, pipe: Connection, host: Host | None, timeout: float, backend: str) -> None:
    """Make the default group: process 0 listens on its own address alone, at a port that the kernel chooses and the pipes pass on."""
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "lo" if host is None else host.interface
    if host is not None:
        _silence()
    patience = timedelta(seconds=timeout)
    if rank == 0:
        address = LOOPBACK if host is None else host.address
        listener = socket.create_server((address, 0))
        port = listener.getsockname()[1]
        store = dist.TCPStore(address, port, size, True, patience, wait_for_workers=False, master_listen_fd=listener.detach())
        pipe.send(("meet", (address, port)))
    else:
        if not pipe.poll(START):
            raise RuntimeError("process 0 named no meeting point")
        store = dist.TCPStore(*pipe.recv(), size, False, patience, wait_for_workers=False)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=patience)


def _silence() -> None:
    """Send this process's standard error nowhere: on a host without names, every connection is told that it has none. Errors are raised."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
