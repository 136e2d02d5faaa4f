"""What the server does with one arrived gradient: one file a family, one frozen dataclass a rule."""

from asgd_lib.rules.asgd import SGD, DelayAdaptive, Rescaled
from asgd_lib.rules.base import Arrival, Counter, Rule, State, update_delays
from asgd_lib.rules.buffered import Buffered
from asgd_lib.rules.cost import numbers_written
from asgd_lib.rules.table import MIFA, DuDe

__all__ = [
    "Arrival", "Counter", "Rule", "State", "update_delays", "numbers_written",
    "SGD", "DelayAdaptive", "Rescaled", "Buffered", "DuDe", "MIFA",
]  # fmt: skip
