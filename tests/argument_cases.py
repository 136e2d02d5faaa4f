"""A valid call of every public callable, small and quick: what test_bad_arguments spoils, one argument after the other."""

from __future__ import annotations

import math

import pandas as pd
import torch
from matplotlib.figure import Figure
from problem_cases import CASES, PARTS, X, build, cross_entropy, network

import asgd_lib as asgd
from asgd_lib import METHODS, clusters, comparison, problems, rules
from asgd_lib.comparison import profiles
from asgd_lib.distributed.children import Fault

METHOD, CLUSTER, PROBLEM = METHODS["asgd"](lr=0.1), clusters.Fixed((1.0, 2.0, 3.0, 4.0)), build("Softmax")
LABELS = CASES["Softmax"][2].numpy()
TRACE = asgd.simulate(CLUSTER, METHOD, arrivals=30)
LATER = asgd.simulate(clusters.Exponential((1.0, 2.0, 3.0, 4.0)), METHOD, arrivals=30)
HISTORY = asgd.replay(TRACE, [METHODS["asgd"](lr=lr) for lr in (0.01, 0.1, 0.3)], PROBLEM, seeds=range(2), every=10)
SCORES = asgd.history.final(HISTORY)
CLAIM = asgd.Claim("C1", "it holds", "Theorem 1", low=0.0)
VERDICT = CLAIM.check([1.0, 2.0, 3.0])
SECONDS_TABLE = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, math.inf], "c": [3.0, 3.0]})
RATIOS = profiles.ratios(SECONDS_TABLE)
RUNS = [{"notebook": "01", "parameters": {}, "verdicts": [VERDICT.as_dict()]}]
CONTEST = pd.DataFrame([("p", "s", "c", m, 0.1, False, s, 1.0 + s, "reached", 1.0) for m in ("a", "b") for s in (0, 1)])
CONTEST = {"table": CONTEST.set_axis(comparison.contest.COLUMNS, axis=1)}
ENTRY = comparison.Entry("asgd", METHODS["asgd"])
SCENARIO = comparison.Scenario("p", "s", "c", problems.Quadratic([[1.0, 2.0]] * 4, [[1.0, 2.0]] * 4), CLUSTER, "loss", 0.5, 9.0)

# A good value for each parameter, by its name; what a callable needs of its own is in OWN. Parameters with a default need none.
GOOD = {
    "A": [[1.0, 2.0]] * 4, "L": 1.0, "L_delta_over_eps": 4.0, "N": 1.0, "X": X, "all_reduce": 1.0, "all_verdicts": RUNS, "alpha": 12.0,
    "arrivals": 20, "b": [[1.0, 2.0]] * 4, "base": CLUSTER, "batch": 4, "batches": 8, "best": asgd.history.best_lr(SCORES),
    "broadcast": 0.5, "claim": CLAIM, "clients": 2, "cluster": CLUSTER, "clusters": CLUSTER, "curvature": 1.0,
    "curvatures": [1.0, 2.0], "delay": 2.0, "delays": [0, 1, 2], "delta": 1.0, "distance": 1.0, "distance_sq": 1.0, "down": 1.0,
    "eigenvalues": [1.0, 2.0], "eps": 0.1, "every": 10, "fast": (1.0, 2.0), "fig": Figure(), "gradients": 3.0, "high": 4.0,
    "highlight": ["a"], "histories": {"a": HISTORY}, "history": HISTORY, "id": "C1", "k": 2, "labels": LABELS,
    "labels_or_n": LABELS, "least": (1.0, 2.0), "limit": 1.0, "low": 1.0, "lr": 0.1, "lrs": [0.1, 0.2], "make": METHODS["asgd"],
    "mean": (1.0, 2.0), "measured": 1.0, "median": (1.0, 2.0), "method": METHOD, "methods": [METHOD], "model_bytes": 8.0, "momentum": 0.5,
    "most": 3, "most_delay": 3, "mu": 0.5, "n": 4, "n_workers": 4, "name": "name", "names": ["asgd"], "nodes": 2, "notebook": "01",
    "of": rules.SGD, "parameters": {"n": 1}, "parts": PARTS, "per_node": 2, "policy": METHOD.policy, "problem": PROBLEM,
    "problems": PROBLEM, "quantile": 2.0, "ratios": RATIOS, "read": [0, 0, 1], "reduction": 0.5, "rule": METHOD.rule,
    "runs": [("asgd", 0.1, 0)], "samples": [1.0, 2.0, 3.0], "saving": 0.3, "says": "it holds", "scores": SCORES, "seconds": (1.0, 2.0),
    "seeds": range(2), "share": 0.5, "sigma_sq": 1.0, "sigma_sq_over_eps": 2.0, "size": 2, "skip": 4, "slow": (3.0, 4.0), "slowdown": 2.0,
    "slowest": 2.0, "source": "Theorem 1", "step": 0.1, "step_constant": 2.0, "success": 0.5, "summed": False, "t": 5.0, "table": SCORES,
    "target": 0.9, "tau_max": 3.0, "then": METHOD.policy, "trace": TRACE, "up": 2.0, "variances": [1.0, 2.0], "verdict": VERDICT,
    "verdicts": [VERDICT], "wait": 1, "weights": [0.25] * 4, "weights_by_delay": [0.5, 0.5], "worker": [0, 1, 2], "x": [1.0, 2.0],
    "x0": 1.0, "xlabel": "n", "y": LABELS, "y_by_seed": [[1.0, 2.0]], "ylabel": "s",
}  # fmt: skip
SGD_RUNS = asgd.replay(TRACE, METHOD, PROBLEM, seeds=range(2), every=10)
GROWING = SCORES.assign(status="done").merge(HISTORY[["run", "arrivals"]]).assign(gap=lambda rows: rows["arrivals"] * (rows["lr"] - 0.05))
PLATEAU = METHODS["daso"](lr=0.1, schedule="plateau", epoch=5, epochs=3, epoch_sync=True)
ARRIVED = {name: getattr(TRACE, name) for name in ("n", "job", "worker", "read", "start", "end")}
OWN = {
    "agreement.delays_of": {"one": TRACE}, "agreement.delay_distance": {"one": TRACE, "other": TRACE},
    "agreement.differing": {"x": torch.zeros(2), "y": torch.ones(2)},
    "agreement.differing_rows": {"one": TRACE, "other": TRACE},
    "agreement.excess_delay_distance": {"recorded": [TRACE], "simulated": [TRACE, LATER]}, "claims.Claim": {"low": 0.0},
    "clusters.FromTrace": {"source": TRACE}, "clusters.Network": {"up": clusters.Link()},
    "clusters.Uniform": {"low": (1.0, 2.0), "high": (2.0, 3.0)}, "comparison.Entry": {"make": METHODS["asgd"]},
    "Target": {"metric": "loss", "value": 0.5}, "comparison.Scenario": vars(SCENARIO),
    "comparison.compare": {"entries": [ENTRY], "scenarios": [SCENARIO], "seeds": [0], "tuning_seeds": [1]},
    "comparison.profiles.by_seed": CONTEST | {"factor": 2.0}, "comparison.profiles.guide": CONTEST,
    "comparison.profiles.outcomes_of": CONTEST, "comparison.profiles.profile": {"ratio": RATIOS, "factors": [1.0, 2.0]},
    "comparison.profiles.ranking": CONTEST, "comparison.profiles.ratios": {"times": SECONDS_TABLE},
    "comparison.profiles.samples": CONTEST | {"method": "a"}, "comparison.profiles.seconds": CONTEST,
    "comparison.profiles.selected": CONTEST, "comparison.profiles.share_reached": CONTEST | {"method": "a"},
    "comparison.profiles.versus": CONTEST | {"method": "a", "other": "b"}, "comparison.profiles.wins_and_failures": CONTEST,
    "critical.critical_lr": {"method": METHODS["asgd"]}, "data.load": {"name": "digits"},
    "history.concat": {"histories": [HISTORY, HISTORY]}, "history.measured": {"rows": HISTORY}, "history.stable_lr": {"history": GROWING},
    "methods.Row": {"rule": rules.SGD}, "parameters.ListOf": {"of": asgd.parameters.Count()},
    "parameters.check_parameters": {"namespace": {"n": 3}, "n": asgd.parameters.Count()}, "plateau_schedule": {"method": PLATEAU},
    "plots.convergence": {"history": SGD_RUNS}, "plots.explore": {"draw": lambda **_: None},
    "plots.heatmap": {"outcomes": RATIOS.map(lambda _: "too slow")},
    "plots.prediction": {"ax": Figure().subplots(), "y": [1.0, 2.0], "label": "theory"},
    "plots.scaling": {"y_by_seed": {"asgd": [[1.0, 2.0]]}}, "plots.standing": {"method": "a"},
    "problems.CharLM": {"X": X.abs().round(), "y": X.abs().round().long()[:, 0]}, "problems.LogisticRegression": {"y": LABELS > 0},
    "problems.ResNet": {"channels": 1, "blocks": 1, "width": 4}, "problems.TorchModule": {"module": network(), "loss": cross_entropy},
    "rules.numbers_written": {"function": lambda: 1}, "rules.over_runs": {"like": torch.zeros(2), "lr": [0.1, 0.2]},
    "serve": {"cluster": clusters.equal(3), "faults": [Fault(1, 9, "kill")]}, "simulate": {"arrivals": 20},
    "sweep.batches": {"methods": {"asgd": [METHOD]}},
    "sweep.race": {"until": 5.0, "cluster": lambda n: CLUSTER, "problem": lambda n: PROBLEM}, "sweep.sweep": {"arrivals": 20},
    "sweep.variants": {"name": "asgd", "lr": [0.1]}, "theory.dude_straggler_cycles": {"reduction": 2.0},
    "theory.hogwild_round_ratio": {"samples": 5}, "theory.hogwild_rounds": {"samples": 5},
    "theory.initial_gap": {"problem": SCENARIO.problem}, "theory.logistic_facts": {"problem": build("LogisticRegression")},
    "theory.problem_constants": {"problem": SCENARIO.problem},
    "theory.rate_heterogeneous": {"zeta_sq": 1.0}, "theory.round_time_batch": {"seconds": 1.0},
    "theory.round_time_first_k": {"seconds": 1.0}, "trace.Trace": ARRIVED, "tuning.tuned": {"table": HISTORY},
    "verdicts.Verdict": {"verdict": "reproduced", "low": 0.0, "high": 2.0, "seeds": 3},
}  # fmt: skip
REFUSED = {"serve"}  # its example names a worker that is not there, or every call would start processes
