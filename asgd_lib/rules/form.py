"""What makes a class a rule: its form, and its first steps on a tiny model. Every fault is a sentence that says what to write."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asgd_lib.rules.base import Arrival, Rule, State, over_runs

_INIT, _RECEIVE = "def init(self, x0, n)", "def receive(self, s, a)"
_STATE = "return State(x, s.k + 1, s.n), or a NamedTuple of your own that has x, k and n"
_HOOKS = ("init", "receive", "receive_all", "read", "ready", "reports", "collective", "awaits", "batched")
DELAYS = (0, 1, 10, 100)
ARRIVALS = 160  # by hand: so many that most rules have made the updates that a large delay takes
_A_NUMBER_EACH = (
    "self.lr, like every field in `batched`, is a tensor (runs, 1) where runs are computed together, so it fits no `if`, min() nor max(): "
    "torch.as_tensor(self.lr, dtype=s.x.dtype).clamp(max=c) works for both. "
    "What depends on x or a.grad is decided by torch.where, run by run"
)
_EACH_RUN = "x and a.grad are (runs, d): sum over coordinates with dim=-1, keepdim=True, and decide with torch.where, run by run"
_HINTS = {
    "ambiguous": _A_NUMBER_EACH,
    "cannot be converted to Scalar": _EACH_RUN,
    "only one element tensors can be converted": _EACH_RUN,
    "must match the size": _EACH_RUN,
    "numel() == 0": "the rule also runs on models without coordinates, where its updates are counted: there max and min find nothing",
    "non-zero size": "the rule also runs on models without coordinates, where its updates are counted: there max and min find nothing",
    "cannot assign to field": "a rule is frozen: what changes from one arrival to the next belongs into the state",
    "has no attribute '_replace'": _STATE,
}


def check_form(kind: Any) -> None:
    """Raise ValueError, with a sentence, unless `kind` is a class in the form of a rule, whose instances can be made from `lr` alone."""
    name = getattr(kind, "__name__", repr(kind))
    if not isinstance(kind, type):
        raise ValueError(f"{name} must be a class: write @dataclass(frozen=True) and below it `class {name}:`; got {kind!r}.")
    if "__dataclass_fields__" not in vars(kind):
        raise ValueError(f"{name} is not a dataclass: write @dataclass(frozen=True) in the line above `class {name}`.")
    if not kind.__dataclass_params__.frozen:
        raise ValueError(f"{name} is not frozen, so it could change in the middle of a run: write @dataclass(frozen=True) above it.")
    known = [field for field in fields(kind) if field.init]
    if not known or known[0].name != "lr":
        shown = ", ".join(field.name for field in known) or "none"
        raise ValueError(f"The first field of {name} must be the step size: write `lr: float` as its first line; its fields are {shown}.")
    for field in known[1:]:
        if field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{name}.{field.name} has no default, but a rule is made from lr alone: write `{field.name}: ... = ...`.")
    taken = next((field.name for field in known if field.name in _HOOKS), None)
    if taken is not None:
        raise ValueError(f"{name} has a field {taken!r}, but {', '.join(_HOOKS)} mean something in every rule: give it another name.")
    unknown = sorted(set(getattr(kind, "batched", ("lr",))) - {field.name for field in known})
    if unknown:
        raise ValueError(f"{name}.batched names {unknown[0]!r}, which is no field; it has {', '.join(field.name for field in known)}.")
    for method, line, arguments in (("init", _INIT, 2), ("receive", _RECEIVE, 2)):
        function = getattr(kind, method, None)
        if not callable(function):
            raise ValueError(f"{name} has no {method}: write `{line}: ...` in it.")
        try:
            inspect.signature(function).bind(None, *range(arguments))
        except TypeError as error:
            raise ValueError(f"{name}.{method} must take two things: write `{line}`; {error}.") from None


def hand_delay(e: int, k: int) -> int:
    """The delay of the arrival numbered `e` in a sequence made by hand, `k` updates having been made: one of DELAYS, but at most k."""
    return min(DELAYS[(e + e // 4) % 4], k)


def check_first_steps(rule: Rule) -> None:
    """Raise ValueError, with a sentence, unless `rule` takes ARRIVALS arrivals with DELAYS on a tiny model, and on one without coordinates.

    Where `init` itself refuses four workers by a ValueError, that is its right and nothing is checked.
    """
    for x0 in (torch.linspace(-1.0, 1.0, 6, dtype=torch.float64).view(2, 3), torch.empty(0, dtype=torch.float64)):
        used = called(rule, "The rule", over_runs, rule, like=x0, lr=[0.1, 0.2]) if len(x0) else rule
        try:
            state = used.init(x0, 4)
        except ValueError:
            return
        except Exception as error:
            raise ValueError(f"init failed. {told(error, rule)}") from error
        check_state(state, x0, 4, "init", f"write `{_INIT}: return State(x0, 0, n)`")
        if state.k != 0:
            raise ValueError(f"init returned k = {state.k!r}, but no update has been made yet: {_INIT} returns State(x0, 0, n).")
        for arrival in range(ARRIVALS):
            a = Arrival(torch.cos(x0 + arrival), arrival % 4, hand_delay(arrival, state.k), 1.0)
            state = called(rule, f"receive failed at arrival {arrival}.", used.receive, state, a)
            check_state(state, x0, 4, f"receive, at arrival {arrival},", f"{_STATE}, or `s` itself to throw the gradient away")


def check_state(state: Any, x: Tensor, n: int, who: str, remedy: str) -> None:
    """Raise ValueError, with a sentence, unless `state` is a state with a model like `x` (..., d) of `n` workers."""
    missing = [name for name in State._fields if not hasattr(state, name)]
    if missing:
        raise ValueError(f"{who} returned {_brief(state)}, which has no {' and no '.join(missing)}: {remedy}.")
    if not isinstance(state.x, Tensor) or state.x.shape != x.shape:
        shown = tuple(state.x.shape) if isinstance(state.x, Tensor) else _brief(state.x)
        raise ValueError(f"{who} returned a model x of shape {shown} where it must stay {tuple(x.shape)}: {_EACH_RUN}.")
    if isinstance(state.k, bool) or not isinstance(state.k, int):
        raise ValueError(f"{who} returned k = {_brief(state.k)}, which must be a whole number, the updates made so far: write s.k + 1.")
    for name, meaning in (("rounds", "the rounds so far"), ("sent", "the vectors sent so far")):
        value = getattr(state, name, 0)
        if isinstance(value, bool) or not isinstance(value, int):
            say = f"{who} returned a state with {name} = {_brief(value)}, but a history takes `{name}` for {meaning}"
            raise ValueError(f"{say}: give this field another name.")
    if state.n != n:
        raise ValueError(f"{who} returned n = {_brief(state.n)}, but there are {n} workers: hand on s.n as it is.")


def called(rule: Rule, doing: str, function: Callable, *arguments: Any, **keywords: Any) -> Any:
    """What `function` returns; ValueError, beginning with `doing` and naming the line of the rule, where it fails."""
    try:
        return function(*arguments, **keywords)
    except Exception as error:
        raise ValueError(f"{doing} {told(error, rule)}") from error


def told(error: BaseException, rule: Any) -> str:
    """An error in a rule's own code as a sentence: what, in which line of which file, and the remedy where it is a known one."""
    kind = rule if isinstance(rule, type) else type(rule)
    own = {code.co_filename for f in vars(kind).values() if (code := getattr(f, "__code__", None)) and f.__name__ != "__init__"}
    return sentence(error, own)


def sentence(error: BaseException, files: set[str]) -> str:
    """An error as a sentence with the last line in one of `files` that led to it."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    said = f"{type(error).__name__}: {text}".rstrip(": ")
    frames = led_through(error, files)
    if frames:
        last = frames[-1]
        line = (last.line or linecache.getline(last.filename, last.lineno or 0)).strip()
        said += f" ({Path(last.filename).name}, line {last.lineno}: `{line}`)"
    hint = next((hint for part, hint in _HINTS.items() if part in str(error)), "")
    said = said if said.endswith(".") else f"{said}."
    return f"{said} Remedy: {hint}." if hint else said


def led_through(error: BaseException, files: set[str]) -> list[traceback.FrameSummary]:
    """The lines in `files` that led to an error, the last one last; also where it came up in another process, which sends them as text."""
    frames = [(frame.filename, frame.lineno, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    if type(error.__cause__).__name__ == "_RemoteTraceback":
        found = re.findall(r'File "(.+?)", line (\d+), in (\w+)', str(error.__cause__))
        frames += [(path, int(line), function) for path, line, function in found]
    return [traceback.FrameSummary(*frame) for frame in frames if frame[0] in files]


def _brief(value: Any) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) < 60 else f"{shown[:57]}..."
