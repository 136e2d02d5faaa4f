"""The table of methods: name -> policy beside rule beside source."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from asgd_lib.arguments import held
from asgd_lib.checks import inside, positive
from asgd_lib.policies import (
    Barrier,
    BroadcastFirst,
    Gated,
    Greedy,
    Policy,
    Quorum,
    RandomAssignment,
    Rounds,
    ShuffledAssignment,
)
from asgd_lib.rules import (
    ACED,
    CA2FL,
    DASA,
    MIFA,
    SGD,
    SMEGA2,
    Buffered,
    Chosen,
    Clipped,
    Daso,
    DelayAdaptive,
    DelayFilter,
    DuDe,
    FedAsync,
    FirstK,
    HogwildLocal,
    LocalSGD,
    Malenia,
    MindFlayer,
    Momentum,
    NaiveMomentum,
    OrMo,
    OrMoDA,
    Picky,
    Rennala,
    Rescaled,
    Ringleader,
    Ringmaster,
    Rule,
    ShiftedMomentum,
    StalenessAware,
    Vecna,
)
from asgd_lib.spelling import meant
from asgd_lib.stopping import FirstOf, Only, Stop, Trials


@dataclass(frozen=True)
class Method:
    """A policy and a rule, with the name, the hyperparameters and the source that they go by."""

    policy: Policy
    rule: Rule
    name: str = "unnamed"
    source: str = ""
    hyperparameters: dict[str, Any] = field(default_factory=dict)

    @property
    def lr(self) -> float | Tensor:
        """The step size."""
        return self.rule.lr

    @property
    def label(self) -> str:
        """The name, with those hyperparameters that were given (but not the step size): `dude(n_arrivals=4)`."""
        given = ", ".join(f"{k}={v!r}" for k, v in self.hyperparameters.items())
        return f"{self.name}({given})" if given else self.name


@dataclass(frozen=True)
class Row:
    """One row of the table; called with `lr` and further hyperparameters of the rule, it gives a `Method`.

    `rule` is a rule's class or a function that returns one; `policy` a policy, or a function of the rule that returns one.
    """

    policy: Policy | Callable[[Rule], Policy]
    rule: Callable[..., Rule]
    source: str
    name: str = "unnamed"

    def __call__(self, lr: float | Tensor | None = None, **hyperparameters: Any) -> Method:
        """The method with these hyperparameters; TypeError or ValueError, with a sentence, where they do not fit, or without `lr`."""
        if lr is None:
            call = f'METHODS["{self.name}"]' if self.name in METHODS else "row"
            raise TypeError(f"{self.name} needs a step size lr, for example {call}(lr=0.1).")
        allowed = list(inspect.signature(self.rule).parameters)
        unknown = sorted(set(hyperparameters) - set(allowed))
        if unknown:
            raise TypeError(f"{self.name} has no hyperparameter {unknown[0]!r}; it takes {', '.join(allowed)}.")
        positive("lr", lr)
        rule = held(self.rule, self.name, (), {"lr": lr} | hyperparameters)
        policy = self.policy(rule) if not hasattr(self.policy, "react") else self.policy
        return Method(policy, rule, self.name, self.source, hyperparameters)


class Table(dict):
    """A dictionary that names each row after its key and, asked for a name it has not got, lists those it has."""

    def __setitem__(self, name: str, row: Row) -> None:
        super().__setitem__(name, Row(row.policy, row.rule, row.source, name))

    def __repr__(self) -> str:
        return f"{len(self)} methods: {', '.join(self)}"

    def __missing__(self, name: str) -> Row:
        raise KeyError(f"There is no method {name!r}{meant(name, self)}; the table has {', '.join(self)}.")


def _dude_policy(rule: DuDe) -> Policy:
    policy = Greedy() if rule.n_arrivals == 1 else Quorum(rule.n_arrivals)
    return BroadcastFirst(policy) if rule.warm_up == "broadcast" else policy


def _fedbuff(lr: float | Tensor, buffer: int = 4) -> Buffered:
    return Buffered(lr, buffer)


def _minibatch(lr: float | Tensor, momentum: float | Tensor = 0.0) -> Rule:
    inside("momentum", momentum, 0.0, 1.0, open_high=True)
    return Momentum(lr, momentum, of=Buffered) if momentum else Buffered(lr)


def _local_sgd(lr: float | Tensor, local_steps: int = 5, decay: float = 0.0) -> LocalSGD:
    return LocalSGD(lr, local_steps=local_steps, decay=decay)


def _delay_filter(lr: float | Tensor, batch: int | None = None, momentum: float | Tensor = 0.9) -> DelayFilter:
    return DelayFilter(lr, momentum, batch=batch)


def _clipped(lr: float | Tensor, radius: float = 1.0) -> Clipped:
    return Clipped(lr, radius)


def _first_k(lr: float | Tensor, k: int | None = None) -> FirstK:
    return FirstK(lr, k)


def _ringmaster_policy(rule: Ringmaster) -> Policy:
    return Stop(rule.threshold) if rule.stop and rule.threshold != math.inf else Greedy()


METHODS = Table()
"""Name -> row; `METHODS["dude"](lr=0.1, n_arrivals=2)` is a method."""
METHODS["sgd_minibatch"] = Row(Barrier(), _minibatch, "synchronous minibatch SGD; the mean of n gradients a step")
METHODS["asgd"] = Row(Greedy(), SGD, "arXiv:2206.07638, asynchronous SGD with a constant step size")
METHODS["asgd_delay_adaptive"] = Row(Greedy(), DelayAdaptive, "arXiv:2206.07638, delay-adaptive step sizes as in the authors' code")
METHODS["dude"] = Row(_dude_policy, DuDe, "arXiv:2405.16966, DuDe-ASGD; semi-asynchronous with n_arrivals > 1")
METHODS["asgd_random"] = Row(RandomAssignment(), SGD, "Koloskova, Stich and Jaggi 2022, uniformly random assignment")
METHODS["asgd_shuffled"] = Row(ShuffledAssignment(), SGD, "Islamov, Safaryan and Alistarh 2024 (AsGrad), shuffled assignment")
METHODS["fedbuff"] = Row(Greedy(), _fedbuff, "Nguyen et al. 2022, FedBuff with one local step and a buffer of plain gradients")
METHODS["mifa"] = Row(lambda rule: Rounds(rule.participation), MIFA, "Gu, Huang, Zhang and Huang 2021, MIFA with one local step")
METHODS["asgd_rescaled"] = Row(Greedy(), Rescaled, "Rescaled ASGD 2026, steps in proportion to compute times")
METHODS["ormo"] = Row(Greedy(), OrMo, "Shi, Yang and Li, arXiv:2407.19234, ordered momentum")
METHODS["ormo_da"] = Row(Greedy(), OrMoDA, "arXiv:2407.19234, ordered momentum with delay-adaptive steps")
METHODS["asgd_naive_momentum"] = Row(Greedy(), NaiveMomentum, "arXiv:2407.19234, the naive baseline")
METHODS["shifted_momentum"] = Row(Greedy(), ShiftedMomentum, "Giladi, Nacson, Hoffer and Soudry 2020, shifted momentum")
METHODS["smega2"] = Row(Greedy(), SMEGA2, "Cohen, Hakimi and Schuster 2022, SMEGA2; our reading")
METHODS["hogwild_local"] = Row(Gated(), HogwildLocal, "Nguyen et al., arXiv:2010.14763; reconstructed")
METHODS["local_sgd"] = Row(Gated(), _local_sgd, "local SGD with full participation")
METHODS["daso"] = Row(Gated(), Daso, "Coquelin et al., arXiv:2104.05588; options for what Heat's code does beyond the paper")
METHODS["rennala"] = Row(Greedy(), Rennala, "Tyurin and Richtarik 2023, Rennala SGD")
METHODS["malenia"] = Row(Greedy(), Malenia, "Tyurin and Richtarik 2023, Malenia SGD")
METHODS["ringmaster"] = Row(_ringmaster_policy, Ringmaster, "Ringmaster ASGD 2025; late gradients are ignored, or stopped with stop=True")
METHODS["ringleader"] = Row(Greedy(), Ringleader, "Ringleader ASGD 2025; our reading of which models workers keep")
METHODS["mindflayer"] = Row(lambda rule: Trials(rule.trials, rule.limit), MindFlayer, "MindFlayer SGD 2024, trials of limited time")
METHODS["vecna"] = Row(lambda rule: Trials(rule.trials, rule.limit), Vecna, "Vecna SGD of MindFlayer SGD 2024, for heterogeneous data")
METHODS["naive_optimal"] = Row(lambda rule: Only(rule.workers), Chosen, "Ringmaster ASGD 2025, ASGD on the fastest workers alone")
METHODS["delay_filter"] = Row(Greedy(), _delay_filter, "Attia, Gaash and Koren 2025, asynchronous mini-batching; around heavy ball")
METHODS["k_async"] = Row(lambda rule: FirstOf(rule.size), _first_k, "Dutta et al. 2018, K-async SGD")
METHODS["k_sync"] = Row(lambda rule: FirstOf(rule.size, stop=True), _first_k, "Dutta et al. 2018, K-sync SGD (backup workers)")
METHODS["ca2fl"] = Row(Greedy(), CA2FL, "CA2FL (ICLR 2024) with one local step")
METHODS["dasa"] = Row(Greedy(), DASA, "Dal Fabbro et al. 2024, DASA for gradients; reconstructed")
METHODS["aced"] = Row(Greedy(), ACED, "ACE and ACED 2025, everybody's last gradient unless too old; our reading")
METHODS["asgd_staleness_aware"] = Row(Greedy(), StalenessAware, "Zhang, Gupta, Lian and Liu 2016, steps divided by staleness")
METHODS["asgd_clipped"] = Row(Greedy(), _clipped, "asynchronous SGD with clipped gradients")
METHODS["picky"] = Row(Greedy(), Picky, "Cohen et al. 2021, Picky SGD")
METHODS["fedasync"] = Row(Greedy(), FedAsync, "Xie, Koyejo and Gupta 2019, FedAsync with one local step")
