"""Methods from a file of one's own: `path/to/file.py:Name` wherever the name of a method may stand."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from asgd_lib.methods import METHODS, Row
from asgd_lib.policies import Greedy
from asgd_lib.rules.form import check_first_steps, check_form, led_through, sentence

_READ: set[str] = set()  # files that were read as methods
_PICKLERS = ("cloudpickle", "joblib.externals.cloudpickle")  # what joblib, and Dask, send classes with; joblib carried its own once


def is_file(text: str) -> bool:
    """Whether `text` names a file of Python, and not a row of the table of methods."""
    return text.partition(".py")[1] == ".py" and text.partition(".py")[2][:1] in ("", ":")


def told_of_own(error: BaseException) -> str:
    """An error that came up in a file read by `load_method`, as a sentence with its line and the remedy; empty for all other errors."""
    return sentence(error, _READ) if led_through(error, _READ) else ""


def load_method(text: str) -> Row:
    """The row that `path/to/file.py:Name` defines: called with `lr` and further hyperparameters it gives a `Method`, as those of METHODS.

    `Name` is a rule: a frozen dataclass with `init` and `receive`, whose policy is its attribute `policy` (without one, `Greedy()`; a
    function of the rule may return it). Or it is a row, `METHOD = asgd.Row(Quorum(2), Mine, "where it comes from")`. A file is read anew
    where its content has changed. Raises ValueError, with a sentence that says what to write, where it does not define a method.
    """
    path, _, name = text.rpartition(":") if not text.endswith(".py") else (text, "", "")
    module = _module(Path(path))
    found = _defined(module)
    if not name:
        raise ValueError(f"Say which class or row of {path} is meant, as in {path}:{next(iter(found), 'Mine')}. {_has(path, found)}")
    if name not in vars(module):
        raise ValueError(f"There is no {name!r} in {path}. {_has(path, found)}")
    row = as_row(vars(module)[name], path)
    if row.name in METHODS:
        raise ValueError(f"The table of methods has a {row.name!r} already: give the one in {path} another name.")
    return row


def as_row(given: Any, origin: str = "this session") -> Row:
    """The row of a rule's class, or a row itself, with everything checked that can be without a run; ValueError says what to write."""
    if isinstance(given, partial):
        raise ValueError(
            f"{_name(given)} is given as a partial: write METHOD = asgd.Row(Greedy(), partial({_name(given)}, ...), 'source')."
        )
    if inspect.isfunction(given):
        raise ValueError(
            f"{given.__name__} is a function: name a rule's class, or write METHOD = asgd.Row(Greedy(), {given.__name__}, '')."
        )
    if not isinstance(given, Row):
        check_form(given)
        given = Row(_policy(given), given, _source(given))
    if isinstance(given.rule, type):
        check_form(given.rule)
    name = given.name if given.name != "unnamed" else _name(given.rule)
    if not callable(given.rule):
        raise ValueError(f"A Row takes the rule's class, or a function that makes a rule of lr, and no rule itself; got {given.rule!r}.")
    row = Row(_checked(given.policy, name), given.rule, given.source, name)
    try:
        method = row(lr=0.1)
    except Exception as error:
        raise ValueError(f"{name} cannot be made from a step size alone. {sentence(error, {_file(_whole(given.rule))})}") from error
    check_form(type(method.rule))
    _checked(method.policy, name, made=True)
    check_first_steps(method.rule)
    return row


def _whole(rule: Any) -> Any:
    """The class or function of which this is a `functools.partial`."""
    return _whole(rule.func) if isinstance(rule, partial) else rule


def _name(rule: Any) -> str:
    return getattr(_whole(rule), "__name__", type(rule).__name__)


def _source(rule: type) -> str:
    """What the docstring has, in its paragraph, behind "Source:"; empty where it has none."""
    told = re.search(r"\bSource:\s*(.+?)(?:\n\s*\n|\Z)", rule.__doc__ or "", re.DOTALL)
    return " ".join(told.group(1).split()).removesuffix(".") if told else ""


def _policy(rule: type) -> Any:
    """What the class says about who starts when."""
    given = vars(rule).get("policy", getattr(rule, "policy", None))
    if given is None:
        return Greedy()
    if "policy" in rule.__dataclass_fields__:
        raise ValueError(f"The policy of {rule.__name__} must not be one of its fields: write `policy = Barrier()` without a type.")
    if isinstance(given, staticmethod):
        return given.__func__
    return given


def _checked(policy: Any, name: str, made: bool = False) -> Any:
    """The policy, or the function of the rule that returns one; ValueError where it is neither, or a policy's class."""
    if isinstance(policy, type):
        shown = f"the class {policy.__name__}; write {policy.__name__}() with brackets"
    elif callable(getattr(policy, "react", None)) or (callable(policy) and not made):
        return policy
    else:
        shown = repr(policy)
    raise ValueError(f"The policy of {name} must be a policy, such as asgd_lib.policies.Greedy(); got {shown}.")


def _module(path: Path) -> ModuleType:
    """The file as a module, whose name holds a digest of its content: results of an older version are never taken for its own."""
    try:
        source = path.read_bytes()
    except OSError as error:
        say = "There is no such file" if isinstance(error, FileNotFoundError) else f"It cannot be read ({error.strerror})"
        raise ValueError(f"{path}: {say}. A method of your own is path/to/file.py:Name, seen from {Path.cwd()}.") from None
    name = f"{path.stem}_{hashlib.sha256(source).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path.resolve())
    _READ.add(module.__file__)
    sys.modules[name] = module  # dataclasses and pickle look for it there
    beside = str(path.resolve().parent)
    sys.path.append(beside)  # at the end: what lies beside the file may be imported, and hides nothing
    try:
        exec(compile(source, module.__file__, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise ValueError(f"{path} cannot be run. {sentence(error, {module.__file__})}{line}") from error
    finally:
        sys.path.remove(beside)
    for pickler in filter(find_spec, _PICKLERS):
        import_module(pickler).register_pickle_by_value(module)  # the processes of a sweep have not read the file
    return module


def _defined(module: ModuleType) -> dict[str, Any]:
    """The rules and rows that the file itself defines, by name."""
    own = {k: v for k, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__ or isinstance(v, Row)}
    return {k: v for k, v in own.items() if isinstance(v, Row) or callable(getattr(v, "receive", None))}


def _has(path: str | Path, found: dict[str, Any]) -> str:
    return f"{path} defines {', '.join(found)}." if found else f"{path} defines no rule: write a frozen dataclass with init and receive."


def _file(thing: Any) -> str:
    module = sys.modules.get(getattr(thing, "__module__", ""), None)
    return getattr(module, "__file__", "")
