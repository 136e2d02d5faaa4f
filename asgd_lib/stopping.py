"""Policies that leave workers or jobs out: stop and restart, the first k of n, trials of limited time, some workers only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asgd_lib.arguments import guard
from asgd_lib.checks import count
from asgd_lib.policies import Job, Restart, View


@dataclass(frozen=True)
class Stop:
    """Whoever delivers starts again at once, and so does whoever computes on a model that is `threshold` updates old (None: n).

    `math.inf` never stops anybody. Source: Ringmaster ASGD 2025, the variant that stops calculations.
    """

    threshold: float | None = None

    def react(self, job: Job, view: View) -> Iterable[int | Restart]:
        threshold = view.n if self.threshold is None else self.threshold
        ages = ((worker, view.age(worker)) for worker in range(view.n))
        return [job.worker, *(Restart(worker) for worker, age in ages if age is not None and age >= threshold)]


@dataclass(frozen=True)
class FirstOf:
    """Wait until `size` workers (None: half of them, rounded up) are idle; then start these, and with `stop` all others anew as well.

    Source: Dutta et al. 2018, K-async without and K-sync with `stop`.
    """

    size: int | None = None
    stop: bool = False

    def __post_init__(self):
        if self.size is not None:
            count("size", self.size)

    def react(self, job: Job, view: View) -> Iterable[int | Restart]:
        if job.lost:
            return (job.worker,)
        idle = view.idle
        if len(idle) < ((view.n + 1) // 2 if self.size is None else self.size):
            return ()
        return [w if w in idle else Restart(w) for w in range(view.n)] if self.stop else idle


@dataclass(frozen=True)
class Trials:
    """Synchronous rounds of `trials` jobs for each worker, all on the model of the round's beginning; a job over `seconds` is lost.

    Both are one number, or one for each worker. A lost job is not begun again: the round ends when every trial has ended, or failed.
    Source: MindFlayer SGD 2024.
    """

    trials: int | Sequence[int] = 1
    seconds: float | Sequence[float] = math.inf

    def first(self, view: View) -> Iterable[int]:
        """A whole round of jobs."""
        trials = self.trials if hasattr(self.trials, "__len__") else (self.trials,) * view.n
        return [worker for worker, jobs in enumerate(trials) for _ in range(jobs)]

    def limit(self, worker: int) -> float:
        """Seconds after which a job of `worker` is lost."""
        return self.seconds[worker] if hasattr(self.seconds, "__len__") else self.seconds

    def react(self, job: Job, view: View) -> Iterable[int]:
        return () if view.outstanding else self.first(view)


@dataclass(frozen=True)
class Only:
    """The named `workers` (None: everybody) are always busy, the others never."""

    workers: Sequence[int] | None = None

    def first(self, view: View) -> Iterable[int]:
        """Those who work."""
        return range(view.n) if self.workers is None else self.workers

    def react(self, job: Job, view: View) -> Iterable[int]:
        return (job.worker,)


guard(__name__)
