"""Files with a method of one's own: a good one, and changes of it."""

from asgd_lib import load_method

GOOD = '''
from dataclasses import dataclass
from typing import NamedTuple
import math, random
import torch
import asgd_lib as asgd
from asgd_lib.policies import Barrier, Greedy, Quorum
from asgd_lib.rules import State

SEEN = []

@dataclass(frozen=True)
class Mine:
    """x <- x - lr g. Source: these tests."""

    lr: float
    size: int = 2

    def init(self, x0, n):
        return State(x0, 0, n)

    def receive(self, s, a):
        step = self.lr * a.grad
        return State(s.x - step, s.k + 1, s.n)
'''


def written(folder, *changes, text=GOOD):
    """The path of a file with the good rule, in which each change, a pair (old, new), has been made."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "mine.py"
    path.write_text(text)
    return path


def found(folder, *changes, name="Mine"):
    return load_method(f"{written(folder, *changes)}:{name}")


CLASS = "@dataclass(frozen=True)\nclass Mine:"
SIZE, STEP, RETURN, RECEIVE = "    size: int = 2", "step =", "State(s.x - step, s.k + 1, s.n)", "receive(self, s, a)"
KEPT = ("SEEN = []", "class Kept(NamedTuple):\n    x: object\n    k: int\n    n: int\n    kept: object")
