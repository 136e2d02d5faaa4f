"""What every method owes its users, as checks that say in a sentence what is wrong: the table's rows and files of one's own alike.

A check is a function of `make`, which gives the method for a step size; it raises `Nonconforming`. `conform` runs them in an order in
which causes come before their consequences, and stops at the first that fails.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from asgd_lib.arguments import guard
from asgd_lib.conformance import bits, conduct, counts, purity
from asgd_lib.conformance.failure import Make, Nonconforming
from asgd_lib.conformance.setting import SLOWER, delays_met
from asgd_lib.rules.form import told

CHECKS: dict[str, Callable[[Make], None]] = {
    "form": conduct.form,
    "writes nothing": purity.writes_nothing,
    "shapes and counters": counts.shapes,
    "repeats": bits.repeats,
    "runs alone": bits.runs_alone,
    "batches": bits.batches,
    "without coordinates": counts.without_coordinates,
    "precision": counts.precision,
    "copies": conduct.copies,
    "descends": conduct.descends,
    "real processes": conduct.real_processes,
}
"""Name -> check, causes before consequences. Only the last takes seconds."""


class Finding(NamedTuple):
    """What one check found: `problem` is empty, or a sentence with the remedy."""

    check: str
    asks: str  # what the check asks for
    problem: str
    seconds: float  # s of wall time


def conform(make: Make, *, processes: bool = True) -> Iterator[Finding]:
    """The checks one by one, until one fails; `processes=False` leaves out the real ones."""
    for name, check in CHECKS.items():
        if check is conduct.real_processes and not processes:
            continue
        began, problem = time.monotonic(), ""
        try:
            check(make)
        except Nonconforming as error:
            problem = str(error)
        except Exception as error:
            problem = f"It stopped with an error. {_told(error, make)}"
        yield Finding(name, check.__doc__.splitlines()[0], problem, time.monotonic() - began)
        if problem:
            return


def delays(make: Make) -> str:
    """A sentence on how large the delays were that the checks have tried."""
    by_hand, traced = delays_met(make(0.1))
    others = f"up to {traced} on a trace with one worker {SLOWER} times slower"
    return f"Delays tried: up to {by_hand} in arrivals made by hand, {others}; what a rule does at larger ones is unknown."


def _told(error: Exception, make: Make) -> str:
    """The error with the line of the rule that led to it, where there is a rule, and the field that was taken for a number."""
    try:
        rule = make(0.1).rule
        said, _, _ = (whole := told(error, rule)).partition(" Remedy: ")
    except Exception:
        return f"{type(error).__name__}: {error}"
    fields = [name for name in re.findall(r"self\.(\w+)", said) if name in getattr(rule, "batched", ())]
    if "ambiguous" not in said or not fields or "lr" in fields:
        return whole
    say = f"self.{fields[0]} is named in `batched`, and so is a tensor (runs, 1) where runs are computed together, which fits no `if`"
    return f"{said} Remedy: {say}: take it out of `batched`, or decide by torch.where."


__all__ = ["CHECKS", "Finding", "Make", "Nonconforming", "conform", "delays"]

guard(__name__, costly=True)
