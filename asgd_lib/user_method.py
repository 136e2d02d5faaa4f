"""Methods from a file of one's own: `path/to/file.py:Name` wherever the name of a method may stand."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from asgd_lib.arguments import guard
from asgd_lib.fingerprint import fingerprint
from asgd_lib.methods import METHODS, Row
from asgd_lib.policies import Greedy
from asgd_lib.rules.form import check_first_steps, check_form, led_through, sentence

_READ: set[str] = set()  # files that were read as methods
_PICKLERS = ("cloudpickle", "joblib.externals.cloudpickle")  # what joblib, and Dask, send classes with; joblib carried its own once


def is_file(text: str) -> bool:
    """Whether `text` names a file of Python, and not a row of the table of methods."""
    return re.search(r"\.py(:[^/]*)?\Z", text) is not None


def told_of_own(error: BaseException) -> str:
    """An error that came up in a file read by `load_method`, as a sentence with its line and the remedy; empty for all other errors."""
    return sentence(error, _READ) if led_through(error, _READ) else ""


def load_method(text: str) -> Row:
    """The row that `path/to/file.py:Name` defines: called with `lr` and further hyperparameters it gives a `Method`, as those of METHODS.

    `Name` is a rule: a frozen dataclass with `init` and `receive`, whose policy is its attribute `policy` (without one, `Greedy()`; a
    function of the rule may return it). Or it is a row, `METHOD = asgd.Row(Quorum(2), Mine, "where it comes from")`. At its top the file
    may import modules, but no packages, that lie beside it. It is read anew where its content, or theirs, has changed. Raises ValueError,
    with a sentence that says what to write, where it does not define a method.
    """
    path, _, name = text.rpartition(":") if not text.endswith(".py") else (text, "", "")
    module = _module(Path(path))
    found = _defined(module)
    if not name:
        raise ValueError(f"Say which class or row of {path} is meant, as in {path}:{next(iter(found), 'Mine')}. {_has(path, found)}")
    if name not in vars(module):
        raise ValueError(f"There is no {name!r} in {path}. {_has(path, found)}")
    row = as_row(vars(module)[name])
    if row.name in METHODS:
        raise ValueError(f"The table of methods has a {row.name!r} already: give the one in {path} another name.")
    return row


def as_row(given: Any) -> Row:
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
    """The file as a module, whose name holds a digest of what it is made of: results of an older version are never taken for its own."""
    real = path.resolve()
    try:
        source = real.read_bytes()
    except OSError as error:
        say = "There is no such file" if isinstance(error, FileNotFoundError) else f"It cannot be read ({error.strerror})"
        raise ValueError(f"{path}: {say}. A method of your own is path/to/file.py:Name, seen from {Path.cwd()}.") from None
    name = f"{path.stem}_{fingerprint({part.name: part.read_bytes() for part in _parts(real)})[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(real)
    _READ.add(module.__file__)
    sys.modules[name] = module  # dataclasses and pickle look for it there
    try:
        with _importable({other: _module(file) for other, file in _neighbours(real).items()}):
            exec(compile(source, module.__file__, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, _Refused):
            raise
        more = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        if isinstance(error, ModuleNotFoundError) and real.with_name(f"{error.name}").is_dir():
            more = f" Of what lies beside it, modules ({error.name}.py) are found, and packages (folders) are not: install the package."
        raise _Refused(f"{path} cannot be run. {sentence(error, {module.__file__})}{more}") from error
    for pickler in filter(find_spec, _PICKLERS):
        import_module(pickler).register_pickle_by_value(module)  # the processes of a sweep have not read the file
    return module


class _Refused(ValueError):
    """A file that cannot be run, or a neighbour of it; the sentence names the one at fault."""


@contextmanager
def _importable(modules: dict[str, ModuleType]) -> Iterator[None]:
    """While in here, `import` finds these under their plain names; outside, two folders may each have a module of the same name."""
    hidden = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


def _parts(path: Path) -> set[Path]:
    """The file, those beside it that it imports, those that they import, and so on."""
    found, new = set(), {path}
    while new:
        found |= new
        new = {file for part in new for file in _neighbours(part).values()} - found
    return found


def _neighbours(path: Path) -> dict[str, Path]:
    """The files beside this one that it imports, by name; ValueError where Python finds something else by one of these names."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):
        return {}  # which running it will tell, with the line
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    files = {name: path.with_name(f"{name}.py") for name in sorted(names) if "." not in name}
    files = {name: file for name, file in files.items() if file.is_file()}
    for name, file in files.items():
        origin = getattr(find_spec(name), "origin", None)
        if origin is not None and Path(origin).resolve() != file.resolve():
            raise _Refused(
                f"{path} imports {name}, which is {file.name} beside it, but Python has another {name} ({origin}): rename {file.name}."
            )
    return files


def _defined(module: ModuleType) -> dict[str, Any]:
    """The rules and rows that the file itself defines, by name."""
    own = {k: v for k, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__ or isinstance(v, Row)}
    return {k: v for k, v in own.items() if isinstance(v, Row) or callable(getattr(v, "receive", None))}


def _has(path: str | Path, found: dict[str, Any]) -> str:
    return f"{path} defines {', '.join(found)}." if found else f"{path} defines no rule: write a frozen dataclass with init and receive."


def _file(thing: Any) -> str:
    module = sys.modules.get(getattr(thing, "__module__", ""), None)
    return getattr(module, "__file__", "")


guard(__name__)
