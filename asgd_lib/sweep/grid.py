"""A grid of methods, clusters, problems and seeds, cut into as few replays as the caches of one machine like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256

import pandas as pd

from asgd_lib.clusters import Cluster
from asgd_lib.fingerprint import content_key, fingerprint, library
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.replayer import alike, replay
from asgd_lib.simulator import depends_on_rule, simulate
from asgd_lib.target import Target
from asgd_lib.trace import Trace

_RUNS = 64  # runs a replay: step sizes of a seed share its draws, and more than this no longer pays
_MODEL_BYTES = 512 << 20  # models that the workers of all runs of a replay hold


@dataclass(frozen=True)
class Length:
    """How long the runs of a grid are, how often they are evaluated, and where they may stop."""

    arrivals: int | None
    until: float
    every: int
    target: Target | None = None


@dataclass(frozen=True)
class Task:
    """Methods that one replay computes as one batch, all for the same seeds; `keys[seed][i]` names the run of method i."""

    cluster: tuple[str, Cluster]
    problem: tuple[str, Problem]
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    trace_seed: int
    length: Length
    keys: Mapping[int, tuple[str, ...]]

    def without(self, known: Mapping[str, object]) -> Iterator[Task]:
        """What is left of the task when some runs are known: as a rule all of it or nothing."""
        left: dict[tuple[int, ...], list[int]] = {}
        for seed in self.seeds:
            missing = tuple(i for i, key in enumerate(self.keys[seed]) if key not in known)
            left.setdefault(missing, []).append(seed)
        for missing, seeds in left.items():
            if missing:
                keys = {seed: tuple(self.keys[seed][i] for i in missing) for seed in seeds}
                yield replace(self, methods=tuple(self.methods[i] for i in missing), seeds=tuple(seeds), keys=keys)

    def compute(self) -> pd.DataFrame:
        """The runs' histories, with the column `key` before the others."""
        length = self.length
        history = replay(self.trace(), list(self.methods), self.problem[1], seeds=self.seeds, every=length.every, target=length.target)
        keys = [self.keys[seed][i] for i in range(len(self.methods)) for seed in self.seeds]
        table = pd.DataFrame(history.to_dict("series"))
        table.insert(0, "key", [keys[run] for run in table["run"]])
        return table

    def trace(self) -> Trace:
        """The trace that the methods share; the last few are remembered in each process."""
        bounds = {"arrivals": self.length.arrivals, "until": self.length.until, "seed": self.trace_seed}
        if hasattr(self.cluster[1], "transfer"):
            bounds["message_bytes"] = self.problem[1].x0.nbytes
        cluster, method = self.cluster[1], self.methods[0]
        shapes = [cluster, method.policy, bounds]
        if depends_on_rule(cluster, method):
            numbers = dict.fromkeys(getattr(type(method.rule), "batched", ("lr",)), 1.0)
            shapes += [type(method.rule), {f.name: numbers.get(f.name, getattr(method.rule, f.name)) for f in fields(method.rule)}]
        name = fingerprint(*shapes)
        if name not in _traces:
            while len(_traces) >= 4:
                del _traces[next(iter(_traces))]
            _traces[name] = simulate(cluster, method, **bounds)
        return _traces[name]


_traces: dict[str, Trace] = {}


def tasks(
    methods: Sequence[Method],
    clusters: Mapping[str, Cluster],
    problems: Mapping[str, Problem],
    seeds: Sequence[int],
    length: Length,
    trace_seed: int | None,
) -> list[Task]:
    """The grid as tasks, which depend on the grid alone: so do the bits of its runs, whatever was cached or interrupted.

    The traces are those of `trace_seed`, or, where it is None, each run's that of its own seed.
    """
    made = []
    names = {label: fingerprint(problem) for label, problem in problems.items()}
    policies: dict[str, list[Method]] = {}
    for method in methods:
        policies.setdefault(content_key(method.policy), []).append(method)
    groups = [[some[i] for i in members] for some in policies.values() for members, _ in alike(some)]
    for cluster in clusters.items():
        base = fingerprint(library(), cluster[1], length)
        for problem in problems.items():
            limit = max(1, min(_RUNS, _MODEL_BYTES // (problem[1].n * problem[1].x0.nbytes)))
            for group in groups:
                rules = [fingerprint(m.policy, m.rule, m.label) for m in group]
                L = min(len(group), limit)
                S = 1 if trace_seed is None else max(1, limit // L)
                for first in range(0, len(group), L):
                    for start in range(0, len(seeds), S):
                        some = tuple(seeds[start : start + S])
                        luck = some[0] if trace_seed is None else trace_seed
                        keys = {
                            seed: tuple(_key(base, names[problem[0]], rule, seed, luck) for rule in rules[first : first + L])
                            for seed in some
                        }
                        made.append(Task(cluster, problem, tuple(group[first : first + L]), some, luck, length, keys))
    return made


def _key(*parts: str | int) -> str:
    """One name for fingerprints and numbers; faster than the fingerprint of them, of which a large grid needs very many."""
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()[:32]
