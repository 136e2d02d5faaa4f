"""What command lines say, made into clusters, methods and problems.

Clusters are `KIND:NUMBERS[,KEYWORD=VALUE...]`, problems `KIND:DATA[,KEYWORD=VALUE...]`; `form` says it kind by kind.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module

from asgd_lib import clusters, data, partition, problems, spelling
from asgd_lib.clusters import Cluster
from asgd_lib.methods import METHODS, Method, Row
from asgd_lib.problems import Problem
from asgd_lib.spelling import meant
from asgd_lib.user_method import is_file, load_method


def dropout(seconds: Sequence[float], up: float, down: float) -> Cluster:
    """`Fixed` workers that leave and come back: exponential stays of mean `up` and absences of mean `down` seconds."""
    return clusters.Dropout(clusters.Fixed(seconds), up, down)


BATCH = 32  # samples a gradient, unless said
_NAMES = ("Fixed", "equal", "straggler", "spread", "Exponential", "TruncatedNormal", "LogNormal", "Pareto", "Uniform", "Switching")
CLUSTERS: dict[str, Callable[..., Cluster]] = {name: getattr(clusters, name) for name in _NAMES} | {"Dropout": dropout}
PROBLEMS: dict[str, Callable[..., Problem]] = {
    "softmax": problems.Softmax, "logistic": problems.LogisticRegression, "least_squares": problems.LeastSquares,
    "mlp": problems.MLP, "cnn": problems.SmallCNN, "resnet": problems.ResNet, "char_lm": problems.CharLM,
}  # fmt: skip


def problem(text: str, n: int, *, batch: int = BATCH, alpha: float | None = None, seed: int = 0) -> Problem:
    """`KIND:DATA`, such as softmax:digits, split over `n` workers (evenly, or by Dirichlet(`alpha`)); or `MODULE:FUNCTION`, called with n.

    Raises ValueError, with a sentence, where there is no such thing, where kind and data do not fit, or where a function, which splits data
    of its own, would not hear of `batch` or `alpha`.
    """
    kind, _, rest = text.partition(":")
    if not rest:
        raise ValueError(f"A problem is KIND:DATA (kinds {', '.join(PROBLEMS)}), as softmax:digits, or MODULE:FUNCTION; got {text!r}.")
    if kind not in PROBLEMS:
        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.append(os.getcwd())  # as python -m has it; workers are given it, too
        try:
            made = getattr(import_module(kind), rest)
        except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two: "" and ".name" are no modules
            module = f"a module, here or on PYTHONPATH, that has {rest!r}"
            said = f"{kind!r} is neither one of {', '.join(PROBLEMS)}{meant(kind, PROBLEMS)} nor {module}"
            raise ValueError(f"{said} ({error}); a problem is KIND:DATA or MODULE:FUNCTION.") from error
        if alpha is not None or batch != BATCH:
            raise ValueError(
                f"{text!r} chooses its batches and splits its data itself: leave batch and alpha out, and let {rest} see to them."
            )
        return made(n)
    names, keywords = spelling.parsed(text, PROBLEMS[kind])
    name = ",".join(names)
    if name not in data.NAMES:
        said = f"There is no data set {name!r}{meant(name, data.NAMES)} for {text!r}" if name else f"{text!r} names no data set"
        raise ValueError(f"{said}. There are {', '.join(data.NAMES)}.")
    X, y, X_test, y_test = data.load(name)
    if y.is_floating_point() != (kind == "least_squares"):
        has, asks = ("a real target", "classes") if y.is_floating_point() else ("classes", "a real target")
        raise ValueError(f"{text!r} does not fit: {name} has {has}, and {kind} is for {asks}.")
    if y.is_floating_point() and alpha is not None:
        raise ValueError(f"alpha splits data by class, and {name} has a real target: leave alpha out.")
    parts = partition.iid(len(y), n, seed=seed) if alpha is None else partition.dirichlet(y, n, alpha, seed=seed)
    return PROBLEMS[kind](X, y, parts, batch, test=(X_test, y_test), **keywords)


def spelt(text: str, batch: int = BATCH, alpha: float | None = None) -> str:
    """What `problem` was asked for, in words that two runs share if and only if they ask for the same: traces remember it."""
    if text.partition(":")[0] not in PROBLEMS:
        return text
    return f"{text}, batch {batch}, {'split evenly' if alpha is None else f'split by Dirichlet({alpha:g})'}"


def row(name: str) -> Row:
    """The row of the table with this name, or that which `path/to/file.py:Name` defines; ValueError where there is none."""
    if is_file(name):
        return load_method(name)
    try:
        return METHODS[name]
    except KeyError as error:
        raise ValueError(f"{error.args[0]} A method of your own is path/to/file.py:Name.") from None


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
        hyper[key] = spelling.value(value)
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
    """`KIND:NUMBERS[,KEYWORD=VALUE...]` for `n` workers: `Exponential:0.02`, `Fixed:0.01,0.01,0.05` each its own, `LogNormal:1,sigma=2`.

    Raises ValueError, with a sentence, for an unknown kind or keyword, for what is no number, and for a wrong count of numbers.
    """
    kind = text.partition(":")[0]
    if kind not in CLUSTERS:
        alone = f" (clusters.{kind} is for Python alone)" if kind in clusters.__all__ else meant(kind, CLUSTERS)
        raise ValueError(f"There is no kind of cluster {kind!r}{alone} for {text!r}. There are {', '.join(CLUSTERS)}.")
    pieces, keywords = spelling.parsed(text, CLUSTERS[kind])
    whole = "n" in inspect.signature(CLUSTERS[kind]).parameters
    remedy = f"{form(kind)} takes {'one number' if whole else f'one number for all workers, or {n} with commas, one a worker'}"
    numbers = [spelling.number(piece, text, remedy) for piece in pieces]
    if len(numbers) != 1 and (whole or len(numbers) != n):
        raise ValueError(f"{text!r} has {len(numbers) or 'no'} numbers: {remedy}.")
    if whole:
        return CLUSTERS[kind](n, numbers[0], **keywords)
    return CLUSTERS[kind](tuple(numbers) * (n if len(numbers) == 1 else 1), **keywords)


def form(kind: str) -> str:
    """How a kind of cluster or problem is written: `LogNormal:MEDIAN[,sigma=1.0]`, in brackets what may be left out."""
    return spelling.form(kind, (CLUSTERS | PROBLEMS)[kind])


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
