"""Schedules that depend on the loss, turned into numbers: so that a trace needs no problem, and its replay is the same run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from asgd_lib.arguments import guard
from asgd_lib.checks import count
from asgd_lib.clusters import Cluster
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.replayer import replay
from asgd_lib.rules.daso import PLATEAU
from asgd_lib.rules.daso_schedule import plateau_phases
from asgd_lib.simulator import simulate


def plateau_schedule(
    cluster: Cluster, method: Method, problem: Problem, *, seed: int = 0, run: int = 0, message_bytes: float | None = None, **options: Any
) -> Method:
    """`method`, a `daso` with `schedule="plateau"`, with the schedule that its own losses lead to: (B, W, local_skip), epoch by epoch.

    B shrinks whenever the loss stalls, as `rules.daso_schedule.plateau_phases` says; `options` are its `most`, `threshold`, `patience` and
    `halve_wait`. Losses are the problem's full objective at the ends of epochs, for seed `run` of the gradients, where Heat takes the mean
    of an epoch's minibatch losses. The label of the method, and so the `meta` of its traces, holds the schedule.

    Simulates and replays the whole training once for each change of phase: a change leaves everything before it as it was.
    Raises ValueError where the method has no plateau schedule.
    """
    rule = method.rule
    if getattr(rule, "schedule", None) != PLATEAU:
        raise ValueError(f"{method.label} has no plateau schedule to work out; ask for METHODS['daso'](lr, schedule='plateau', ...).")
    lengths = {"warm_up": rule.warm_up, "cool_down": rule.cool_down, "skip": rule.skip}
    epoch, known = problem.n * rule.epoch, 0
    losses: list[float] = []
    while True:
        phases = plateau_phases(losses[:known], rule.epochs, **lengths, **options)
        resolved = _resolved(method, phases)
        trace = simulate(cluster, resolved, arrivals=epoch * rule.epochs, seed=seed, message_bytes=message_bytes)
        history = replay(trace, resolved, problem, seeds=[count("run", run, least=0)], every=epoch)
        losses = history["loss"].iloc[1:].tolist()
        if history["status"].iloc[-1] != "done":
            losses = losses[:-1]  # a diverged run has no later losses, and the last one may be infinite
        asked = plateau_phases(losses, rule.epochs, **lengths, **options)
        if asked == phases:
            return resolved
        known = next(e for e in range(rule.epochs) if asked[e] != phases[e])


def _resolved(method: Method, phases: tuple) -> Method:
    schedule = tuple(tuple(phase) for phase in phases)
    given = {k: v for k, v in method.hyperparameters.items() if k not in ("warm_up", "cool_down", "skip")}
    rule = replace(method.rule, schedule=schedule, warm_up=0, cool_down=0)
    return replace(method, rule=rule, hyperparameters=given | {"schedule": schedule})


guard(__name__, costly=True)
