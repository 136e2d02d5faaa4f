"""The scenarios of a contest: who is how fast, who holds which data, and what is minimised how far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asgd_lib import clusters as models
from asgd_lib.checks import choice, count, positive
from asgd_lib.clusters import Cluster
from asgd_lib.comparison.objectives import PROBLEMS, SPLITS, Objective
from asgd_lib.problems import Problem
from asgd_lib.trace import LOST, Trace

RECORDING = Path(__file__).with_name("recorded.npz")
_HOLD = 0.05  # of the horizon


@dataclass(frozen=True)
class Scenario:
    """One cluster and one problem: the metric has to come to `target` and stay there for `hold` seconds before `horizon` seconds are over.

    `problem_name`, `split` and `cluster_name` are its name. ValueError where cluster and problem disagree on the number of workers.
    """

    problem_name: str
    split: str
    cluster_name: str
    problem: Problem
    cluster: Cluster
    metric: str
    target: float
    horizon: float  # s
    hold: float = 0.0  # s

    def __post_init__(self):
        if self.problem.n != self.cluster.n:
            raise ValueError(f"The problem has {self.problem.n} workers and the cluster {self.cluster.n}; they must agree.")
        positive("target", self.target)
        positive("horizon", self.horizon)

    @property
    def key(self) -> tuple[str, str, str]:
        """Problem, split and cluster, by name."""
        return self.problem_name, self.split, self.cluster_name


def recorded(n: int) -> Cluster:
    """The times of a real run, played slower: its median gradient takes one second here.

    RECORDING is the trace of `serve` with ten worker processes and `asgd` on a machine of two busy cores, 600 arrivals in 14 seconds.
    Injected were `LogNormal` times of sigma = 0.7 with medians from 0.1 to 0.325 s, and a freeze: worker 3 was stopped at arrival 150 and
    went on at arrival 330. The rest (what a process waits for on a busy machine) is real. ValueError unless n is 10.
    """
    trace = Trace.load(RECORDING)
    if n != trace.n:
        raise ValueError(f"The recording has {trace.n} workers and n is {n}; leave out the cluster 'recorded', or choose n = {trace.n}.")
    unit = float(np.median(trace.end - trace.start))
    return models.FromTrace(replace(trace, start=trace.start / unit, end=trace.end / unit, lost=np.empty(0, LOST)))


CLUSTERS: Mapping[str, tuple[Callable[[int], Cluster], float]] = {
    "equal": (lambda n: models.equal(n), 60.0),
    "straggler": (lambda n: models.straggler(n, 10.0), 200.0),
    "spread": (lambda n: models.spread(n, 10.0), 200.0),
    "heavy tail": (lambda n: models.Pareto((0.5,) * n, 1.5), 160.0),
    "switching": (lambda n: models.Switching((1.0,) * n, (5.0,) * n, period=20.0), 100.0),
    "drop-outs": (lambda n: models.Dropout(models.equal(n), up=20.0, down=5.0), 160.0),
    "dead": (lambda n: models.Fixed((1.0,) * (n - 1) + (1e9,)), 60.0),
    "recorded": (recorded, 80.0),
}
"""Name -> cluster as a function of n, and how many seconds a run on it lasts: about twenty synchronous rounds, and at least sixty.

equal speeds; the last worker ten times slower; times that rise evenly to ten times the first; Pareto times (least 0.5 s, shape 1.5);
phases of 20 s with one and with five seconds a gradient, in turn; absences of 5 s after stays of 20 s, in the mean; a last worker that
never answers; a recording. A gradient takes about one second.
"""


def scenarios(
    n: int = 10,
    *,
    problems: Sequence[str] = ("quadratic",),
    splits: Sequence[str] = SPLITS,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    **options: float,
) -> list[Scenario]:
    """Every combination of the problems (PROBLEMS), splits (SPLITS) and clusters (CLUSTERS; default: all that n workers fit) named.

    `seed` draws the data's parts; `options` go to every problem (`samples` or `share` of one kind make sense for that kind alone).
    Raises ValueError for a name that is not known.
    """
    count("n", n, least=2)
    count("seed", seed, least=0)
    names = [name for name in CLUSTERS if name != "recorded" or n == 10] if clusters is None else list(clusters)
    for name in names:
        choice("clusters", name, tuple(CLUSTERS))
    machines = {name: CLUSTERS[name][0](n) for name in names}
    made = []
    for problem in problems:
        choice("problems", problem, tuple(PROBLEMS))
        for split in splits:
            choice("splits", split, tuple(SPLITS))
            aim: Objective = PROBLEMS[problem](n, split, seed=seed, **options)
            for name, cluster in machines.items():
                horizon = CLUSTERS[name][1]
                made.append(Scenario(problem, split, name, aim.problem, cluster, aim.metric, aim.target, horizon, _HOLD * horizon))
    return made
