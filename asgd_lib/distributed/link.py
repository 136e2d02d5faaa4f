"""One worker's line to the server: a gloo group of two, so that a death concerns nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

LOOPBACK = "127.0.0.1"
CONNECT = 30.0  # s that reaching a store may take
SERVER, WORKER = 0, 1  # ranks on a link
_HEADER = 24  # bytes: three float64
_LONG = timedelta(days=365)  # a gradient may take its time; the server has a timeout of its own


class Gone(ConnectionError):
    """The other end of a link has ended, or was never there."""


class Message(NamedTuple):
    """A header of three numbers, and d coordinates."""

    kind: int
    job: int
    seconds: float
    body: Tensor  # (d,)


def listen(host: str = LOOPBACK, port: int = 0) -> tuple[dist.TCPStore, int]:
    """A store that listens on `host` alone (gloo's own would listen everywhere), and its port; `port` 0 takes a free one."""
    listener = socket.create_server((host, port), backlog=1024)
    port = listener.getsockname()[1]
    store = dist.TCPStore(host, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())
    return store, port


def connect(host: str, port: int, seconds: float = CONNECT) -> dist.TCPStore:
    """The store at `host:port`, as soon as it answers; Gone where it does not within `seconds`."""
    with or_gone():
        return dist.TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=seconds))


@contextmanager
def or_gone() -> Iterator[None]:
    """Raise Gone where the other end of a store or of a group fails."""
    try:
        yield
    except RuntimeError as error:  # gloo's and the store's errors are no finer than this
        raise Gone(str(error)) from error


def device(host: str):
    """A gloo device bound to the interface that has the address `host`; one serves any number of links."""
    return dist.ProcessGroupGloo.create_device(hostname=host)


class Link:
    """Sends and receives messages of d coordinates between the server and one incarnation of a worker.

    Nothing is pickled: a message is a block of bytes of known size. Raises Gone where the other end is.
    """

    def __init__(self, store: dist.Store, name: str, rank: int, gloo_device, like: Tensor):
        options = dist.ProcessGroupGloo._Options()
        options._devices, options._timeout = [gloo_device], _LONG
        with or_gone():
            self._group = dist.ProcessGroupGloo(dist.PrefixStore(name, store), rank, 2, options)
        self._other, self._d, self._dtype = 1 - rank, like.numel(), like.dtype
        self._out = self._block()

    def _block(self) -> Tensor:
        return torch.empty(_HEADER + self._d * self._dtype.itemsize, dtype=torch.uint8)

    def send(self, kind: int, job: int = -1, seconds: float = 0.0, body: Tensor | None = None) -> None:
        """Send a message; returns when its bytes are on their way."""
        self._out[:_HEADER].view(torch.float64).copy_(torch.tensor([kind, job, seconds], dtype=torch.float64))
        if body is not None:
            self._out[_HEADER:].view(self._dtype).copy_(body.reshape(-1))
        with or_gone():
            self._group.send([self._out], self._other, 0).wait()

    def receive(self) -> Message:
        """Wait for a message; its body is on the CPU and belongs to the caller."""
        block = self._block()
        with or_gone():
            self._group.recv([block], self._other, 0).wait()
        kind, job, seconds = block[:_HEADER].view(torch.float64).tolist()
        return Message(int(kind), int(job), seconds, block[_HEADER:].view(self._dtype))
