"""A method from a file: found, read, and refused in sentences."""

import re
import sys
from pathlib import Path

import pytest
import torch
from cases import FIXED, RANDOM, quadratic
from own_methods import CLASS, GOOD, KEPT, RECEIVE, RETURN, SIZE, STEP, found, written

from asgd_lib import METHODS, Row, clusters, load_method, replay, simulate
from asgd_lib.conformance import CHECKS, conform
from asgd_lib.policies import Barrier, Greedy, Quorum
from asgd_lib.rules import SGD
from asgd_lib.sweep import sweep
from asgd_lib.user_method import as_row, is_file, told_of_own

TEMPLATE = Path(__file__).resolve().parents[1] / "notebooks" / "my_method.py"


def test_a_good_rule_conforms(tmp_path):
    row = found(tmp_path)
    assert (row.name, row.policy, row(0.1).label, row(0.1, size=3).label) == ("Mine", Greedy(), "Mine", "Mine(size=3)")
    findings = list(conform(row))
    assert [finding.check for finding in findings] == list(CHECKS) and not any(finding.problem for finding in findings)


def test_the_template_conforms_and_without_compensation_is_asgd():
    row = load_method(f"{TEMPLATE}:DelayCompensated")
    assert not [finding.problem for finding in conform(row, processes=False) if finding.problem]
    trace, problem = simulate(FIXED, METHODS["asgd"](0.1), arrivals=100), quadratic(sigma=1.0)
    plain, mine = (replay(trace, method, problem).attrs["x"] for method in (METHODS["asgd"](0.1), row(0.1, strength=0.0)))
    assert torch.equal(plain, mine) and not torch.equal(plain, replay(trace, row(0.1), problem).attrs["x"])
    assert len([line for line in TEMPLATE.read_text().splitlines() if line.strip()]) < 30


def test_the_class_says_its_policy_or_a_row_does(tmp_path):
    field = "    size: int = 2\n"
    assert found(tmp_path, (field, field + "    policy = Barrier()\n"))(0.1).policy == Barrier()
    assert found(tmp_path, (field, field + "    def policy(self): return Quorum(self.size)\n"))(0.1, size=3).policy == Quorum(3)
    row = found(tmp_path, ("s.n)\n", 's.n)\nMETHOD = asgd.Row(Quorum(2), Mine, "a test")\n'), name="METHOD")
    assert (row.name, row.source, row(0.1).policy) == ("Mine", "a test", Quorum(2))


def test_a_row_may_have_hyperparameters_of_its_own(tmp_path):
    text = GOOD + "\nfrom functools import partial\nMETHOD = asgd.Row(Greedy(), partial(Mine, size=5), 'a test')\n"
    row = load_method(f"{written(tmp_path, text=text)}:METHOD")
    assert (row.name, row(0.1).rule.size, row(0.1, size=3).rule.size) == ("Mine", 5, 3)
    with pytest.raises(ValueError, match="takes the rule's class, or a function"):
        as_row(Row(Greedy(), SGD(0.1), "a test"))


def test_a_policy_may_be_a_static_function_and_a_rule_may_refuse_four_workers(tmp_path):
    static = (SIZE, f"{SIZE}\n\n    @staticmethod\n    def policy(rule):\n        return Quorum(rule.size)")
    assert found(tmp_path, static)(0.1).policy == Quorum(2)
    refuses = ("        return State(x0", "        if n == 4: raise ValueError('Four are too many.')\n        return State(x0")
    method = found(tmp_path, refuses)(0.1)
    with pytest.raises(ValueError, match="^Four are too many"):
        simulate(clusters.equal(4), method, arrivals=3)


def test_the_source_is_what_the_docstring_says(tmp_path):
    assert found(tmp_path).source == "these tests"
    long = found(tmp_path, ("Source: these tests.", "Source: A. and B.,\n    2024.\n\n    More."))
    assert long.source == "A. and B., 2024"


def test_an_error_in_another_process_is_told_with_its_line(tmp_path):
    row = found(tmp_path, (STEP, "step = 1 / (600 - s.k) *"))
    with pytest.raises(ZeroDivisionError) as error:
        sweep([row(0.1)], {"a": FIXED, "b": RANDOM}, quadratic(), arrivals=700, jobs=2)
    assert re.match(r"ZeroDivisionError: .*\(mine.py, line 23: `step = 1 / \(600", told_of_own(error.value))
    assert told_of_own(ValueError("of the library")) == ""


def test_a_changed_file_is_read_anew_and_has_a_cache_of_its_own(tmp_path):
    tables = []
    for factor in ("1.0", "0.5", "1.0"):
        rows = [found(tmp_path, ("self.lr *", f"{factor} * self.lr *")) for _ in range(2)]
        assert rows[0].rule is rows[1].rule
        tables.append(sweep([rows[0](0.1)], FIXED, quadratic(), arrivals=40, cache=tmp_path / "cache"))
    assert tables[0].equals(tables[2]) and not tables[0].equals(tables[1])
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.slow
def test_processes_of_a_sweep_take_it(tmp_path):
    methods = [found(tmp_path)(0.1), METHODS["asgd"](0.1)]
    table = sweep(methods, {"a": FIXED, "b": RANDOM}, quadratic(), arrivals=40, jobs=2)
    losses = table.groupby(["cluster", "method"])["loss"].last()
    assert losses["a", "Mine"] == losses["a", "asgd"] != losses["b", "Mine"] == losses["b", "asgd"]


BESIDE = [("SEEN = []", "import halved\nfrom steps import step_of"), ("self.lr * a.grad", "halved.HALF * step_of(self.lr, a.grad)")]


def beside(folder, factor="1.0"):
    """The text of two modules beside the file, `steps` importing the other, and the rule that uses them."""
    folder.mkdir(exist_ok=True)
    (folder / "halved.py").write_text(f"HALF = 0.5\nFACTOR = {factor}\n")
    (folder / "steps.py").write_text("import halved\n\ndef step_of(lr, grad):\n    return halved.FACTOR * lr * grad\n")
    return found(folder, *BESIDE)


def last_loss(row, **options):
    return sweep([row(0.1)], FIXED, quadratic(), arrivals=40, **options)["loss"].iloc[-1]


def test_what_lies_beside_the_file_can_be_imported_and_leaves_nothing_behind(tmp_path):
    known = list(sys.path)
    row = beside(tmp_path)
    assert last_loss(row) == last_loss(found(tmp_path, ("self.lr *", "0.5 * self.lr *")))
    assert sys.path == known and not {"halved", "steps"} & sys.modules.keys()


def test_a_changed_neighbour_is_read_anew_and_has_a_cache_of_its_own(tmp_path):
    losses = [last_loss(beside(tmp_path, factor), cache=tmp_path / "cache") for factor in ("1.0", "0.5", "1.0")]
    assert losses[0] == losses[2] != losses[1] == last_loss(beside(tmp_path, "0.5"))
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert beside(tmp_path).rule is beside(tmp_path).rule


def test_a_rule_that_a_neighbour_defines_has_a_cache_of_its_own_too(tmp_path):
    (tmp_path / "mine.py").write_text("from theirs import Mine\n")
    losses = []
    for factor in ("1.0", "0.5"):
        (tmp_path / "numbers_of_theirs.py").write_text(f"def factor():\n    return {factor}\n")
        changed = GOOD.replace("SEEN = []", "from numbers_of_theirs import factor").replace("self.lr *", "factor() * self.lr *")
        (tmp_path / "theirs.py").write_text(changed)
        losses.append(last_loss(load_method(f"{tmp_path}/mine.py:Mine"), cache=tmp_path / "cache"))
    assert losses[0] != losses[1]


def test_equal_files_in_two_folders_have_their_own_neighbours(tmp_path):
    rows = [beside(tmp_path / folder, factor) for folder, factor in (("a", "1.0"), ("b", "0.5"))]
    assert last_loss(rows[0]) != last_loss(rows[1])
    assert last_loss(rows[1]) == last_loss(beside(tmp_path, "0.5"))


def test_processes_of_a_sweep_take_functions_of_neighbours(tmp_path):
    row = beside(tmp_path)
    table = sweep([row(0.1)], {"a": FIXED, "b": RANDOM}, quadratic(), arrivals=40, jobs=2)
    assert table.equals(sweep([row(0.1)], {"a": FIXED, "b": RANDOM}, quadratic(), arrivals=40))


def test_a_neighbour_that_cannot_be_used_is_named(tmp_path):
    beside(tmp_path)
    (tmp_path / "halved.py").write_text("HALF = 1 / 0\n")
    with pytest.raises(ValueError, match=r"halved.py cannot be run. ZeroDivisionError: .*line 1: `HALF = 1 / 0`"):
        found(tmp_path, *BESIDE)
    (tmp_path / "random.py").write_text("")
    with pytest.raises(ValueError, match=r"imports random, .* but Python has another random \(.*random.py\): rename random.py\."):
        found(tmp_path)
    (tmp_path / "random.py").unlink()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"modules \(folder.py\) are found, and packages \(folders\) are not"):
        found(tmp_path, ("SEEN = []", "import folder.part"))


def test_a_file_is_known_by_its_last_ending():
    for text in ("m.py", "m.py:Mine", "a/.pyenv/m.py:Mine", "my.pytorch/m.py:METHOD"):
        assert is_file(text), text
    for text in ("dude", "m.pyc", "m.py/dude", "a/.pyenv/m:Mine"):
        assert not is_file(text), text


REFUSED = {
    "no decorator": ([(CLASS, "class Mine:")], r"Mine is not a dataclass: write @dataclass\(frozen=True\) in the line above"),
    "not frozen": ([("frozen=True", "frozen=False")], r"Mine is not frozen.*write @dataclass\(frozen=True\)"),
    "lr not first": ([(f"    lr: float\n{SIZE}", f"{SIZE}\n    lr: float = 0.1")], "first field of Mine .*`lr: float`"),
    "no default": ([("size: int = 2", "size: int")], "Mine.size has no default"),
    "no init": ([("def init", "def begin")], r"Mine has no init: write `def init\(self, x0, n\)"),
    "no receive": ([("def receive", "def take")], r"Mine has no receive: write `def receive\(self, s, a\)"),
    "too few arguments": ([(RECEIVE, "receive(self, s)")], r"Mine.receive must take two things: write `def receive\(self, s, a\)"),
    "a hook's name": ([("size: int", "ready: int")], "Mine has a field 'ready'.*another name"),
    "batched": ([(SIZE, f"{SIZE}\n    batched = ('lr', 'speed')")], "batched names 'speed', which is no field"),
    "policy's class": ([(SIZE, f"{SIZE}\n    policy = Barrier")], r"got the class Barrier; write Barrier\(\) with"),
    "policy's type": ([(SIZE, f"{SIZE}\n    policy: object = Greedy()")], r"write `policy = Barrier\(\)` without a type"),
    "policy's name": ([(SIZE, f"{SIZE}\n    policy = 'greedy'")], "must be a policy, such as .*; got 'greedy'"),
    "policy of nothing": ([(SIZE, f"{SIZE}\n    def policy(self): return None")], "must be a policy, such as .*; got None"),
    "init returns None": ([("return State(x0, 0, n)", "State(x0, 0, n)")], "init returned None.*return State"),
    "init begins at 1": ([("State(x0, 0, n)", "State(x0, 1, n)")], "init returned k = 1, but no update has been made"),
    "init fails": ([("State(x0, 0, n)", "State(x0, 0)")], r"init failed. TypeError: .*mine.py, line 20: `return State\(x0, 0\)`"),
    "receive returns None": ([(f"return {RETURN}", RETURN)], "receive, at arrival 0, returned None.*return State"),
    "receive returns x": ([(RETURN, "s.x - step")], "returned tensor.*which has no x and no k and no n"),
    "wrong shape": ([("s.x - step", "(s.x - step).mean(0)")], r"model x of shape \(3,\) where it must stay \(2, 3\)"),
    "k is a tensor": ([("s.k + 1", "s.k + torch.ones(())")], "returned k = tensor.*whole number"),
    "n is lost": ([("s.k + 1, s.n", "s.k + 1, 0")], "returned n = 0, but there are 4 workers"),
    "no keepdim": ([(STEP, "step = a.grad / a.grad.norm(dim=-1) *")], r"mine.py, line 23.*Remedy: .*dim=-1, keepdim=True"),
    "decides for all": ([(STEP, "step = 0 if a.grad.norm(dim=-1) > 1 else")], "Remedy: .*torch.where, run by run"),
    "lr compared": ([("    def init", "    def __post_init__(self):\n        assert self.lr > 0\n\n    def init")], "ambiguous.*Remedy"),
    "keeps in the rule": ([(STEP, "self.size = 3; step =")], "FrozenInstanceError.*Remedy: a rule is frozen"),
    "a row that makes nothing": (
        [("SEEN = []", "SEEN = []\ndef broken(lr): return [][1]"), ("s.n)\n", "s.n)\nMine = asgd.Row(Greedy(), broken, 'ours', 'mine')\n")],
        r"cannot be made from a step size alone. IndexError: .*line 11: `def broken",
    ),
    "lr against a delay": ([("self.lr *", "min(self.lr, 1 / (1 + a.delay)) *")], r"`step = min.*Remedy: self.lr.*tensor \(runs, 1\)"),
    "a branch for large delays": (
        [(STEP, "lr = self.lr if a.delay <= 50 else min(self.lr, 1 / a.delay)\n        step =")],
        r"receive failed at arrival [0-9]+. RuntimeError: .*mine.py, line 23: `lr = .*as_tensor\(self.lr, dtype=s.x.dtype\).clamp",
    ),
    "a bare partial": ([("SEEN = []", "from functools import partial"), ("s.n)\n", "s.n)\nMine = partial(Mine)\n")], "Row.*partial.Mine, "),
    "max of nothing": ([(STEP, "step = 1 / a.grad.abs().max() *")], "Remedy: the rule also runs on models without coordinates"),
    "a history's name": ([KEPT, (RETURN, "Kept(s.x, 1, s.n, ())"), ("kept: object", "sent: object")], "takes `sent` for the vectors sent"),
    "does not compile": ([("lr: float", "lr float")], r"mine.py cannot be run. SyntaxError: .*\(line 16\)"),
    "stops": ([("SEEN = []", "SEEN = [][1]")], r"mine.py cannot be run. IndexError: .*line 10: `SEEN = \[\]\[1\]`"),
    "exits": ([("SEEN = []", "raise SystemExit(3)")], "mine.py cannot be run. SystemExit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_rule_is_refused_with_a_remedy(case, tmp_path):
    changes, words = REFUSED[case]
    with pytest.raises(ValueError, match=words) as error:
        found(tmp_path, *changes)
    assert str(error.value).endswith((".", "`)", ")"))


def test_what_is_not_there_is_named(tmp_path):
    path = written(tmp_path)
    for text, words in [
        (f"{tmp_path}/none.py:Mine", "none.py: There is no such file"),
        (f"{tmp_path}:Mine.py", "There is no such file|cannot be read"),
        (f"{path}:Yours", "There is no 'Yours' in .*mine.py defines Mine."),
        (f"{path}", "Say which class or row of .*mine.py:Mine. .*defines Mine."),
        (f"{path}:SEEN", r"must be a class: write @dataclass\(frozen=True\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            load_method(text)
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ValueError, match="defines no rule: write a frozen dataclass"):
        load_method(f"{tmp_path}/empty.py:Mine")
    with pytest.raises(ValueError, match="The table of methods has a 'asgd' already"):
        found(tmp_path, ("class Mine", "class asgd"), name="asgd")
    with pytest.raises(ValueError, match="is a function: name a rule's class"):
        as_row(lambda lr: SGD(lr))
