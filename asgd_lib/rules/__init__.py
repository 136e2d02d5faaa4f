"""What the server does with one arrived gradient: one file a family, one frozen dataclass a rule."""

from asgd_lib.rules.asgd import SGD, DelayAdaptive, Rescaled
from asgd_lib.rules.base import Arrival, Arrivals, Counter, Rule, State, over_runs, update_delays
from asgd_lib.rules.buffered import Buffered
from asgd_lib.rules.cost import numbers_written
from asgd_lib.rules.daso import Daso
from asgd_lib.rules.local import HogwildLocal, LocalSGD
from asgd_lib.rules.momentum import SMEGA2, NaiveMomentum, ShiftedMomentum
from asgd_lib.rules.ormo import OrMo, OrMoDA
from asgd_lib.rules.table import MIFA, DuDe
from asgd_lib.rules.wrappers import Clipped, Decayed, Momentum

__all__ = [
    "Arrival",
    "Arrivals",
    "Counter",
    "Rule",
    "State",
    "over_runs",
    "update_delays",
    "numbers_written",
    "SGD",
    "DelayAdaptive",
    "Rescaled",
    "Buffered",
    "DuDe",
    "MIFA",
    "OrMo",
    "OrMoDA",
    "NaiveMomentum",
    "ShiftedMomentum",
    "SMEGA2",
    "HogwildLocal",
    "Daso",
    "LocalSGD",
    "Momentum",
    "Clipped",
    "Decayed",
]
