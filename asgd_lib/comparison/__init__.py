"""Methods on equal terms: the same scenarios, step sizes and seeds for all, and who wins or fails where.

`scenarios(n)` names clusters, splits and problems; `entries()` are the rows of the table of methods, to which one's own may be added;
`compare(entries, scenarios, lrs)` tunes and judges; `profiles` reads the table that it returns.
"""

from asgd_lib.arguments import guard
from asgd_lib.comparison.contest import compare
from asgd_lib.comparison.entries import LEFT_OUT, SETTINGS, Entry, entries
from asgd_lib.comparison.outcomes import OUTCOMES
from asgd_lib.comparison.suite import CLUSTERS, PROBLEMS, SPLITS, Scenario, scenarios

__all__ = [
    "CLUSTERS", "LEFT_OUT", "OUTCOMES", "PROBLEMS", "SETTINGS", "SPLITS", "Entry", "Scenario", "compare", "entries", "scenarios",
]  # fmt: skip

guard(__name__, costly=True)
