"""What the server does with one arrived gradient: one file a family, one frozen dataclass a rule."""

from asgd_lib.arguments import guard
from asgd_lib.rules.aged import ACED, DASA
from asgd_lib.rules.asgd import SGD, Chosen, DelayAdaptive, Rescaled
from asgd_lib.rules.base import Arrival, Arrivals, Counter, Rule, State, over_runs, update_delays
from asgd_lib.rules.buffered import Buffered, FirstK
from asgd_lib.rules.ca2fl import CA2FL
from asgd_lib.rules.cost import numbers_written
from asgd_lib.rules.daso import Daso
from asgd_lib.rules.local import HogwildLocal, LocalSGD
from asgd_lib.rules.mindflayer import MindFlayer, Vecna
from asgd_lib.rules.momentum import SMEGA2, NaiveMomentum, ShiftedMomentum
from asgd_lib.rules.ormo import OrMo, OrMoDA
from asgd_lib.rules.rennala import DelayFilter, Malenia, Rennala
from asgd_lib.rules.ringleader import Ringleader
from asgd_lib.rules.staleness import FedAsync, Picky, Ringmaster, StalenessAware
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
    "Chosen",
    "DelayAdaptive",
    "Rescaled",
    "Buffered",
    "FirstK",
    "Rennala",
    "Malenia",
    "DelayFilter",
    "Ringmaster",
    "StalenessAware",
    "Picky",
    "FedAsync",
    "Ringleader",
    "MindFlayer",
    "Vecna",
    "DuDe",
    "MIFA",
    "CA2FL",
    "DASA",
    "ACED",
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

guard(__name__)
