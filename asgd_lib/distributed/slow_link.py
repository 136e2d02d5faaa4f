"""A slow network on one machine: hosts as network namespaces behind one switch, each on a line of limited rate. Linux, no root needed."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache

from asgd_lib.checks import count, positive

_TOOLS = ("unshare", "nsenter", "ip", "tc")
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PACKETS = 4096  # bytes that must be able to pass at once: less than two packets, and the line stalls
_TICK = 1e-3  # s of the line's rate that pass at once after a pause; with less, wake-ups of the kernel's timer limit fast lines
_QUEUE = "100ms"  # packets that would wait longer in front of a line are dropped
_PATIENCE = 20.0  # s for one command that sets up a namespace
INTERFACE = "eth0"  # every host's own end of its line


@dataclass(frozen=True)
class Host:
    """One host of a `SlowLink`, to be entered by a process of its own: its address there, and its namespaces."""

    address: str
    pid: int  # of the process that holds its namespaces
    interface: str = INTERFACE

    @property
    def inside(self) -> list[str]:
        """What to put before a command so that it runs on this host: `[*host.inside, "torchrun", ...]`."""
        return ["nsenter", "-t", str(self.pid), "-U", "-n", "--preserve-credentials", "--"]

    def enter(self) -> None:
        """Move the calling process to this host, for good; it must have one thread only. OSError where the kernel refuses."""
        libc = ctypes.CDLL(None, use_errno=True)
        for kind, flag in (("user", _CLONE_NEWUSER), ("net", _CLONE_NEWNET)):
            with open(f"/proc/{self.pid}/ns/{kind}") as namespace:
                if libc.setns(namespace.fileno(), flag):
                    number = ctypes.get_errno()
                    raise OSError(number, f"Cannot enter the {kind} namespace of {self.address}: {os.strerror(number)}")


class SlowLink:
    """`hosts` hosts behind a switch, each on a line that carries `bandwidth` bytes/s out and as much in; a context manager.

    Processes of one host reach each other at full speed, by its own address or by 127.0.0.1; between hosts a token bucket lets
    `bandwidth` bytes/s through (after a pause `burst` bytes at once), packet headers of about 4 % included, without added latency.
    `hosts[h]` has the address and the way in.

    The namespaces die with their processes: with the `with` block, and with this process however it ends.

    Raises RuntimeError, with the reason, where this machine does not allow it (`available`).
    """

    def __init__(self, hosts: int, bandwidth: float):
        positive("bandwidth", bandwidth)
        self.size, self.bandwidth = count("hosts", hosts, most=200), float(bandwidth)
        self.hosts: list[Host] = []
        self._holders: list[subprocess.Popen] = []

    @property
    def burst(self) -> int:
        """Bytes that pass a line at once after a pause: those of 1 ms, and at least two packets."""
        return max(_PACKETS, round(_TICK * self.bandwidth))

    def __enter__(self) -> SlowLink:
        reason = _missing()
        if reason:
            raise RuntimeError(reason)
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that hold the namespaces; with the last process inside, a namespace is gone."""
        for holder in self._holders:
            holder.kill()
            holder.wait()
            holder.stdin.close()
            holder.stdout.close()
        self._holders, self.hosts = [], []

    def _build(self) -> None:
        switch = self._hold(["unshare", "-Urn"])
        _run(switch.inside, "ip link set lo up", "ip link add name br0 type bridge forward_delay 0", "ip link set br0 up")
        bits = max(1, round(8 * self.bandwidth))
        shape = f"root tbf rate {bits}bit burst {self.burst} latency {_QUEUE}"
        for h in range(self.size):
            host = self._hold([*switch.inside, "unshare", "-n"], f"10.77.0.{h + 1}")
            _run(
                switch.inside,
                f"ip link add port{h} type veth peer name {INTERFACE} netns {host.pid}",
                f"ip link set port{h} master br0 up",
                f"tc qdisc add dev port{h} {shape}",
            )
            _run(
                host.inside,
                "ip link set lo up",
                f"ip addr add {host.address}/24 dev {INTERFACE}",
                f"ip link set {INTERFACE} up",
                f"tc qdisc add dev {INTERFACE} {shape}",
            )
            self.hosts.append(host)

    def _hold(self, make: list[str], address: str = "") -> Host:
        """A process in new namespaces, which ends when this process does: it reads a pipe that nobody writes to."""
        # The echo says that the namespaces are there: `sh` runs only after `unshare` has made them.
        holder = subprocess.Popen(
            [*make, "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._holders.append(holder)
        if holder.stdout.readline() != b"ready\n":
            raise RuntimeError(f"`{' '.join(make)}` made no network namespace; is it allowed here? {_HELP}")
        return Host(address, holder.pid)


_HELP = "Slow links need Linux, util-linux, iproute2 and unprivileged user namespaces (or root)."


def _run(inside: list[str], *commands: str) -> None:
    for command in commands:
        done = subprocess.run([*inside, *command.split()], capture_output=True, text=True, timeout=_PATIENCE)
        if done.returncode:
            raise RuntimeError(f"`{command}` failed in a network namespace: {done.stderr.strip()}. {_HELP}")


def _missing() -> str | None:
    absent = [tool for tool in _TOOLS if not shutil.which(tool)]
    return f"There is no {', no '.join(absent)} on this machine. {_HELP}" if absent else None


@lru_cache(maxsize=1)
def available() -> str | None:
    """Why there can be no slow link on this machine, as a sentence; None where there can. Tried once a process."""
    try:
        with SlowLink(2, 1e6):
            return None
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return str(error)
