"""What command lines say, made into clusters, methods and problems."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module

import yaml

from asgd_lib import clusters, data, partition, problems
from asgd_lib.clusters import Cluster
from asgd_lib.methods import METHODS, Method, Row
from asgd_lib.problems import Problem
from asgd_lib.user_method import is_file, load_method

KINDS: dict[str, Callable] = {"softmax": problems.Softmax, "mlp": problems.MLP, "cnn": problems.SmallCNN}
SPEEDS = ("Fixed", "Exponential", "LogNormal", "Pareto")


def problem(text: str, n: int, *, batch: int = 32, alpha: float | None = None, seed: int = 0) -> Problem:
    """`KIND:DATA`, such as softmax:digits, split over `n` workers (evenly, or by Dirichlet(`alpha`)); or `MODULE:FUNCTION`, called with n.

    Raises ValueError, with a sentence, where there is no such thing.
    """
    kind, _, rest = text.partition(":")
    if not rest:
        raise ValueError(f"A problem is KIND:DATA (kinds {', '.join(KINDS)}), as softmax:digits, or MODULE:FUNCTION; got {text!r}.")
    if kind not in KINDS:
        try:
            return getattr(import_module(kind), rest)(n)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{text!r} is neither one of {', '.join(KINDS)} with a data set nor MODULE:FUNCTION. {error}") from error
    X, y, X_test, y_test = data.load(rest)
    parts = partition.iid(len(y), n, seed=seed) if alpha is None else partition.dirichlet(y, n, alpha, seed=seed)
    return KINDS[kind](X, y, parts, batch, test=(X_test, y_test))


def row(name: str) -> Row:
    """The row of the table with this name, or that which `path/to/file.py:Name` defines; ValueError where there is none."""
    if is_file(name):
        return load_method(name)
    if name not in METHODS:
        say = f"There is no method {name!r}; the table has {', '.join(METHODS)}"
        raise ValueError(f"{say}. A method of your own is path/to/file.py:Name.")
    return METHODS[name]


def methods(names: Sequence[str], lrs: Sequence[float], settings: Iterable[str] = ()) -> list[Method]:
    """Every method (`makers`) with every step size."""
    return [make(lr=lr) for make in makers(names, settings) for lr in lrs]


def makers(names: Sequence[str], settings: Iterable[str] = ()) -> list[Callable[..., Method]]:
    """Every method (`row`) as a function of `lr`, with those of the `KEY=VALUE` settings that it knows; values are read as YAML.

    Raises ValueError where two methods have one name, and TypeError where none has a hyperparameter of that name.
    """
    hyper = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"A setting is KEY=VALUE, as in momentum=0.9; got {setting!r}.")
        value = yaml.safe_load(value)
        hyper[key] = tuple(value) if isinstance(value, list) else value
    rows = [row(name) for name in names]
    twice = next((one.name for i, one in enumerate(rows) if one.name in [other.name for other in rows[:i]]), None)
    if twice is not None:
        raise ValueError(f"Two methods go by the name {twice!r}, and tables could not tell them apart: name each once, or rename one.")
    known = [list(inspect.signature(one.rule).parameters) for one in rows]
    for key in hyper:
        if not any(key in allowed for allowed in known):
            told = "; ".join(f"{one.name} takes {', '.join(allowed)}" for one, allowed in zip(rows, known, strict=True))
            raise TypeError(f"No method here has a hyperparameter {key!r}: {told}.")
    own = [{key: value for key, value in hyper.items() if key in allowed} for allowed in known]
    return [partial(one, **given) for one, given in zip(rows, own, strict=True)]


def method(name: str, lr: float, settings: Iterable[str] = ()) -> Method:
    """One method (`methods`) with one step size."""
    return methods([name], [lr], settings)[0]


def cluster(text: str, n: int) -> Cluster:
    """`KIND:SECONDS`, such as Exponential:0.02 for `n` equal workers, or Fixed:0.01,0.01,0.05 worker by worker."""
    kind, _, rest = text.partition(":")
    try:
        seconds = tuple(float(s) for s in rest.split(","))
    except ValueError:
        seconds = ()
    if kind not in SPEEDS or len(seconds) not in (1, n):
        raise ValueError(f"A cluster is KIND:SECONDS with a kind of {', '.join(SPEEDS)} and one number, or {n} with commas; got {text!r}.")
    return getattr(clusters, kind)(seconds * n if len(seconds) == 1 else seconds)


def grid(text: str) -> list[float]:
    """`LOW:HIGH:NUMBER`: so many step sizes from LOW to HIGH, each the same factor from the next."""
    try:
        low, high, number = text.split(":")
        low, high, number = float(low), float(high), int(number)
    except ValueError:
        low = high = number = 0
    if not (0 < low < high and number >= 3):
        raise ValueError(f"A grid is LOW:HIGH:NUMBER with 0 < LOW < HIGH and at least 3 step sizes, as in 0.003:3:7; got {text!r}.")
    return [low * (high / low) ** (i / (number - 1)) for i in range(number)]


def defaults(function: Callable) -> dict:
    """The defaults of a function's keywords, for help texts that cannot go stale."""
    return {k: p.default for k, p in inspect.signature(function).parameters.items() if p.default is not p.empty}
