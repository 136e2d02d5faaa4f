"""Every public callable with one argument spoilt: the call goes through, or the library refuses it in a sentence of its own."""

from __future__ import annotations

import inspect
import linecache
import math
import signal
import traceback
from importlib import import_module
from types import FunctionType

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from argument_cases import GOOD, METHOD, OWN, PROBLEM, REFUSED, TRACE  # noqa: E402
from own_methods import written  # noqa: E402

import asgd_lib as asgd  # noqa: E402
from asgd_lib import METHODS, agreement, clusters, comparison, critical, stopping, virtual  # noqa: E402
from asgd_lib.comparison import profiles  # noqa: E402

BAD = [None, "nonsense", math.nan, -math.inf, -3, 0, 2.5, 10**400, [], ["a"], {"a": None}, object(), np.empty(0)]
BAD += [torch.tensor([math.nan, -1.0]), pd.DataFrame({"a": [1.0]})]
SECONDS = 5  # of processor time: more for one of these small calls is a hang
HOT = "rng"  # called once a gradient: not checked


def public() -> dict[str, object]:
    """Name -> function, class or row of METHODS, as users come by them; what holds values of hot loops, and errors, aside."""
    modules = {name: getattr(asgd, name) for name in asgd._MODULES if name != HOT}
    modules |= {
        module.__name__.removeprefix("asgd_lib."): module for module in (agreement, comparison, critical, profiles, stopping, virtual)
    }
    found = {name: getattr(import_module(f"asgd_lib.{home}"), name) for name, home in asgd._NAMES.items()}  # a module may hide serve
    found |= {f"METHODS.{name}": row for name, row in METHODS.items()}
    for module, things in ((name, vars(value)) for name, value in modules.items()):
        own = [name for name in things if name[0] != "_" and getattr(things[name], "__module__", "") == things["__name__"]]
        found |= {f"{module}.{name}": things[name] for name in things.get("__all__", own)}
    kinds = (type, FunctionType, asgd.Row)
    found = {id(thing): (name, thing) for name, thing in found.items() if isinstance(thing, kinds)}
    aside = (tuple, dict, BaseException)
    return {
        name: thing for name, thing in found.values() if not (isinstance(thing, type) and (issubclass(thing, aside) or is_protocol(thing)))
    }


def is_protocol(kind: type) -> bool:
    return getattr(kind, "_is_protocol", False)


def says_so_itself(error: Exception) -> bool:
    """Whether a `raise` of the library made this error, with a sentence: a bad value, or a file or method that is not there."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    raised = "asgd_lib" in last.filename and linecache.getline(last.filename, last.lineno).strip().startswith("raise")
    return raised and isinstance(error, (ValueError, TypeError, KeyError, OSError)) and str(error).rstrip("'\"").endswith((".", "?"))


def hang(*_):
    raise BaseException("a hang")  # no library catches it


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Somewhere to write, and an alarm clock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASGD_RESULTS", str(tmp_path))
    before = signal.signal(signal.SIGPROF, hang)
    yield tmp_path
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)
    plt.close("all")


@pytest.mark.filterwarnings("ignore")  # a warning lets the call go through
@pytest.mark.parametrize("name", public())
def test_a_spoilt_argument_is_refused_in_a_sentence(name, place):
    call = public()[name]
    parameters = inspect.signature(call.rule if isinstance(call, asgd.Row) else call).parameters.values()
    gathering = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    good = {p.name: GOOD.get(p.name) for p in parameters if p.default is p.empty and p.kind not in gathering} | OWN.get(name, {})
    if name == "load_method":
        good["text"] = str(written(place)) + ":Mine"
    first = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    missing = [key for key, value in good.items() if value is None]
    assert not missing, f"give an example of {missing} in GOOD, or of what {name} takes in OWN"

    def fails(arguments: dict) -> str | None:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            call(*(arguments[key] for key in first), **{key: value for key, value in arguments.items() if key not in first})
        except Exception as error:
            return "" if says_so_itself(error) else f"{type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            plt.close("all")
        return None

    refused = "" if name in REFUSED else None
    assert fails(good) == refused, "the example itself"
    names = dict.fromkeys([*(p.name for p in parameters if p.kind not in gathering), *good])
    deep = [f"{key}={bad!r:.40}: {why}" for key in names for bad in BAD if (why := fails({**good, key: bad}))]
    assert not deep, "\n".join(deep)


def test_the_sentence_names_callable_parameter_value_and_what_is_allowed():
    with pytest.raises(ValueError) as error:
        asgd.simulate(3, METHOD, arrivals=5)
    assert str(error.value) == "simulate: cluster must be a Cluster (with clock, n); got 3."


def test_what_a_function_of_one_s_own_raises_is_what_one_sees():
    with pytest.raises(TypeError, match="unsupported operand"):
        asgd.replay(TRACE, METHOD, PROBLEM, every=10, progress=lambda share: share + "a")
    told = []
    with pytest.raises(ValueError, match="replay: every must be"):
        asgd.replay(TRACE, METHOD, PROBLEM, every="ten", progress=told.append)
    assert not told


def test_a_function_s_own_sentence_comes_before_that_about_its_annotation():
    with pytest.raises(ValueError, match="seconds must be a finite number above 0; got 'soon'"):
        clusters.Fixed("soon")  # a `raise`
    with pytest.raises(ValueError, match="slope: x must be a number or a list of numbers, at least one; got"):
        asgd.intervals.slope(object(), [[1.0, 2.0]])  # numpy's own words, on a line of the library that is no `raise`
