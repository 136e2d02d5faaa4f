"""Processes that work together on this machine or on the hosts of a slow link: start them, watch them, never leave one behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import spawn
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist

from asgd_lib.checks import count, positive
from asgd_lib.distributed.meeting import START, join
from asgd_lib.distributed.processes import start
from asgd_lib.distributed.slow_link import Host

CAUSES = ["died", "failed", "waited", "lost"]
"""How processes fail, what explains the others first."""
_GRACE = 0.5  # s in which the first cause of a failure may still show up behind its consequences


def gang(
    work: Callable[..., Any], arguments: tuple, size: int, *, hosts: Sequence[Host] | None = None, timeout: float = 60.0,
    backend: str = "gloo",
) -> Any:  # fmt: skip
    """What `work(*arguments)` returns in process 0 of `size` processes that have joined one `torch.distributed` group.

    `work` must be importable, and a script that defines it, or a class in its arguments, needs `if __name__ == "__main__":`; arguments and
    result travel through local pipes. `hosts[r]` is the host that process r enters (default: all stay here and talk over 127.0.0.1, and
    nothing listens elsewhere). `timeout` bounds, in seconds, every wait for another process.

    Raises RuntimeError, with a sentence, as soon as a process fails or dies; all others are then ended. They also end when the caller does.
    """
    size = count("size", size)
    positive("timeout", timeout)
    job, script = _packed((work, arguments))
    members: list[tuple[Any, Connection]] = []
    try:
        for rank in range(size):
            ours, theirs = multiprocessing.Pipe()
            host = hosts[rank] if hosts else None
            options = (rank, size, theirs, host, timeout, backend)
            process = start(_member, (job, script, *options), f"gang-{rank}")
            theirs.close()
            members.append((process, ours))
        return _watch(members)
    finally:
        for process, pipe in members:
            pipe.close()
            process.kill()
        for process, _ in members:
            process.join()
            process.close()


def _packed(job: Any) -> tuple[bytes, dict | None]:
    """`job` pickled, and what a process needs to import this script first, if the job has functions or classes of it."""
    try:
        packed = pickle.dumps(job)
    except Exception as error:
        raise ValueError(f"The job cannot be sent to other processes ({error}); use functions and classes of a module.") from error
    if b"__main__" not in packed:
        return packed, None
    script = spawn.get_preparation_data("gang")
    if not {"init_main_from_name", "init_main_from_path"} & script.keys():
        raise ValueError("The job has a function or class that other processes cannot import; put it into a module, not into a notebook.")
    return packed, script


def _watch(members: list[tuple[Any, Connection]]) -> Any:
    """Pass the meeting point on, then wait for every member's word; RuntimeError at the first bad one."""
    started = time.monotonic()
    finished, result, failures = set(), None, {}
    while len(finished) < len(members):
        waiting = {pipe: rank for rank, (_, pipe) in enumerate(members) if rank not in finished}
        patience = _GRACE if failures else None if started is None else max(0.0, started + START - time.monotonic())
        ready = wait(list(waiting), patience)
        if not ready and not failures:
            raise RuntimeError(f"The processes did not start within {START:g} s; is the machine overloaded?")
        if not ready:
            break
        for pipe in ready:
            rank = waiting[pipe]
            kind, value = _receive(*members[rank])
            if kind == "meet":
                started = None
                for _, other in members[1:]:
                    _send(other, value)
            elif kind in CAUSES:
                failures[rank] = (kind, value)
                finished.add(rank)
            else:
                finished.add(rank)
                result = value if rank == 0 else result
    if failures:
        rank, (_, sentence) = min(failures.items(), key=lambda item: (CAUSES.index(item[1][0]), item[0]))
        raise RuntimeError(f"Process {rank} of {len(members)} {sentence} The other processes were ended.")
    return result


def _receive(process: Any, pipe: Connection) -> tuple[str, Any]:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        process.join(_GRACE)
        code = process.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended early (exit status {code})"
        return "died", f"{how}."


def _send(pipe: Connection, value: Any) -> None:
    try:
        pipe.send(value)
    except OSError:
        pass  # a member that is gone is found out by its own pipe


def _member(
    job: bytes, script: dict | None, rank: int, size: int, pipe: Connection, host: Host | None, timeout: float, backend: str
) -> None:  # fmt: skip
    try:
        if host is not None:
            host.enter()  # while there is one thread: importing a script may start more
        _end_with_parent()
        torch.set_num_threads(1)
        if script is not None:
            spawn.prepare(script)
        work, arguments = pickle.loads(job)
        join(rank, size, pipe, host, timeout, backend)
        result = work(*arguments)
        dist.barrier()  # nobody takes its connections down while others still need them
        dist.destroy_process_group()
        _send(pipe, ("done", result if rank == 0 else None))
    except BaseException as error:
        _send(pipe, explain(error, timeout))
        pipe.close()
        os._exit(1)  # a failed group may hang in its own shutdown


def explain(error: BaseException, timeout: float) -> tuple[str, str]:
    """What became of a process: one of `CAUSES`, and the end of a sentence that begins with its number."""
    text = str(error).strip() or "no message"
    if isinstance(error, RuntimeError) and ("imed out" in text or "imeout" in text):
        return (
            "waited",
            f"waited more than {timeout:g} s for another one; was that one stopped, or is the network too slow? Raise timeout=.",
        )
    if isinstance(error, RuntimeError) and re.search("closed by peer|reset by peer|refused|Broken pipe", text):
        return "lost", "lost its connection to another one."
    return "failed", f"failed: {type(error).__name__}: {text}{'' if text[-1] in '.?!' else '.'}"


def _end_with_parent() -> None:
    """End this process as soon as the one that started it is gone, however that went."""
    sentinel = multiprocessing.parent_process().sentinel

    def follow() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
