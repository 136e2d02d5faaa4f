"""Who starts a job when. A policy sees clocks and counters, never a gradient, and keeps no state of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch

from asgd_lib import rng
from asgd_lib.arguments import guard
from asgd_lib.checks import count, inside, positive

_BLOCK = 1024  # draws hashed at once


class Job(NamedTuple):
    """One gradient computation as the policy sees it when it ends."""

    id: int  # order of creation; with a seed it determines the gradient's randomness
    worker: int
    read: int  # arrivals the server had processed when the job's model was read
    start: float  # s, when the worker began to compute
    end: float  # s, when the gradient arrived, or the job was lost
    lost: bool  # the worker left it behind; no gradient arrived


class Restart(NamedTuple):
    """An answer of `react`: whatever `worker` holds is lost now, and it gets a job at the present model in its place."""

    worker: int


class View(Protocol):
    """What a policy may know."""

    n: int  # workers
    seed: int  # of the run, for draws by `rng`
    arrivals: int  # gradients processed by the server
    created: int  # jobs handed out
    outstanding: int  # jobs handed out that have neither arrived nor been lost

    @property
    def idle(self) -> list[int]:
        """Workers without a job, in order."""

    @property
    def k(self) -> int:
        """Updates that the rule has made."""

    def ready(self, worker: int) -> bool:
        """Whether the rule lets `worker` compute now."""

    def age(self, worker: int) -> int | None:
        """Updates made since the model was read on which `worker` computes; None where it does not compute."""


class Policy(Protocol):
    """Starts every worker at time zero, then answers each end of a job with the workers that get a job now.

    A worker that is named while it is busy queues the job, with the model of the moment it was handed out; one that is named in a
    `Restart` drops what it holds. A policy may also have `first(view)`, the workers that get a job at time zero, and `limit(worker)`,
    seconds after which a job of that worker is lost.
    """

    def react(self, job: Job, view: View) -> Iterable[int | Restart]:
        """Who gets a job now that `job` has ended: its gradient has arrived and the rule has seen it, or it is lost."""


@dataclass(frozen=True)
class Greedy:
    """Whoever delivers starts again at once: all workers are always busy."""

    def react(self, job: Job, view: View) -> Iterable[int]:
        return (job.worker,)


@dataclass(frozen=True)
class Quorum:
    """Wait until `size` workers are idle, then start them all: semi-asynchronous."""

    size: int

    def __post_init__(self):
        count("size", self.size)

    def react(self, job: Job, view: View) -> Iterable[int]:
        if job.lost:
            return (job.worker,)
        idle = view.idle
        return idle if len(idle) >= self.size else ()


@dataclass(frozen=True)
class Gated:
    """Whoever is idle starts as soon as the rule lets it (`ready`): workers that may run ahead, but only so far."""

    def react(self, job: Job, view: View) -> Iterable[int]:
        if job.lost:
            return (job.worker,)
        return [worker for worker in view.idle if view.ready(worker)]


@dataclass(frozen=True)
class Barrier:
    """Wait for everybody, then start everybody."""

    def react(self, job: Job, view: View) -> Iterable[int]:
        if job.lost:
            return (job.worker,)
        return () if view.outstanding else range(view.n)


@dataclass(frozen=True)
class BroadcastFirst:
    """A barrier before the first gradients of all workers, and `then` another policy."""

    then: Policy

    def react(self, job: Job, view: View) -> Iterable[int]:
        first = view.arrivals < view.n or (view.arrivals == view.n and not view.outstanding)
        return (Barrier() if first else self.then).react(job, view)


@dataclass(frozen=True)
class Rounds:
    """Synchronous rounds: everybody in the first, then ceil(`participation` n) workers drawn without replacement."""

    participation: float = 0.5

    def __post_init__(self):
        positive("participation", self.participation)
        inside("participation", self.participation, 0.0, 1.0)

    def react(self, job: Job, view: View) -> Iterable[int]:
        if job.lost:
            return (job.worker,)
        if view.outstanding:
            return ()
        size = max(1, math.ceil(self.participation * view.n - 1e-9))  # 0.55 * 20 is a little over 11 in binary; MIFA counts alike
        return sorted(_permutation(view.seed, "rounds", view.arrivals, view.n)[:size])


@dataclass(frozen=True)
class RandomAssignment:
    """Hand the new model to a worker drawn uniformly from all n, busy or not.

    Source: Koloskova, Stich and Jaggi 2022, uniform assignment; jobs of a busy worker queue.
    """

    def react(self, job: Job, view: View) -> Iterable[int]:
        block, place = divmod(view.created, _BLOCK)
        return (_workers(view.seed, block, view.n)[place],)


@dataclass(frozen=True)
class ShuffledAssignment:
    """Hand the new models to the workers in a random order, drawn afresh every n jobs.

    Source: Islamov, Safaryan and Alistarh 2024 (AsGrad), shuffled assignment.
    """

    def react(self, job: Job, view: View) -> Iterable[int]:
        epoch, place = divmod(view.created - view.n, view.n)
        return (_permutation(view.seed, "shuffle", epoch, view.n)[place],)


@lru_cache(maxsize=8)
def _workers(seed: int, block: int, n: int) -> tuple[int, ...]:
    """`_BLOCK` workers, each uniform on 0..n-1."""
    return tuple(rng.integers(rng.key(seed, rng.stream("assignment"), block), _BLOCK, n).tolist())


@lru_cache(maxsize=64)
def _permutation(seed: int, stream: str, index: int, n: int) -> tuple[int, ...]:
    draws = rng.uniform(rng.key(seed, rng.stream(stream), index), n)
    return tuple(torch.argsort(draws, stable=True).tolist())


guard(__name__)
