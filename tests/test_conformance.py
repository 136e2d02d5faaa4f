"""The checks of a method find what people get wrong in their first one, and say so in a sentence."""

import re

import pytest
from own_methods import KEPT, RETURN, SIZE, STEP, found

from asgd_lib import METHODS
from asgd_lib.conformance import CHECKS, Nonconforming, conform, delays

# What a first rule often does wrong: the check that finds it, and words of what it says.
KEEPS = [KEPT, ("State(x0, 0, n)", "Kept(x0, 0, n, ())")]
GAP = [KEPT, ("State(x0, 0, n)", "Kept(x0, 0, n, x0)")]
THRESHOLD = [(SIZE, f"{SIZE}\n    threshold: float = 70.0\n    batched = ('lr', 'threshold')")]
BROKEN = {
    "writes into the model": ([(STEP, "s.x.sub_(a.grad); step =")], "writes nothing", "wrote into s.x at arrival 0.*never x -= step"),
    "writes into the gradient": ([(STEP, "a.grad.mul_(2); step =")], "writes nothing", "receive wrote into a.grad"),
    "keeps the gradient": (
        [*KEEPS, (RETURN, "Kept(s.x - step, s.k + 1, s.n, a.grad)")],
        "writes nothing",
        r"s.kept keeps a view.*clone\(\)",
    ),
    "draws random numbers": ([(STEP, "step = torch.rand(1) *")], "writes nothing", "it draws random numbers. Draw them from asgd_lib.rng"),
    "remembers outside": (
        [(STEP, "SEEN.append(1); step = (1 + len(SEEN) % 7) *")],
        "writes nothing",
        "something outside its state. Put it into",
    ),
    "a list in its state": ([*KEEPS, (RETURN, "Kept(s.x - step, s.k + 1, s.n, [])")], "writes nothing", "s.kept is a list.*tuple"),
    "a new state for nothing": ([(STEP, "if a.delay > 2: return s._replace()\n        step =")], "writes nothing", "return `s` itself"),
    "forgets the counter": ([("s.k + 1", "s.k")], "writes nothing", "k is still 0: receive must count its updates"),
    "counts twice": ([("s.k + 1", "s.k + 2")], "shapes and counters", "k went from 0 to 2"),
    "mixes runs": ([(STEP, "step = 1 / (1 + a.grad.norm()) *")], "shapes and counters", "dim=-1, keepdim=True"),
    "counts by a gradient": ([(STEP, "if a.grad.norm() < 1.5: return s\n        step =")], "shapes and counters", "by torch.where"),
    "ignores the step size": ([("self.lr *", "0.1 *")], "runs alone", "receive does not use self.lr"),
    "another precision": ([(STEP, "step = torch.ones(1, dtype=torch.double) *")], "precision", "float32 became one in torch.float64"),
    "a double at large delays": (
        [(STEP, "step = (1 if a.delay <= 50 else torch.ones(1, dtype=torch.double)) *")],
        "precision",
        "float32 became one in torch.float64",
    ),
    "writes at large delays": ([(STEP, "s.x.sub_(a.grad if a.delay > 50 else 0); step =")], "writes nothing", "wrote into s.x"),
    "mixes runs at large delays": (
        [(STEP, "step = (1 if a.delay <= 60 else 1 / (1 + a.grad.norm())) *")],
        "runs alone",
        "beside three others is not the run alone",
    ),
    "rounds in float32": (
        [("self.lr *", "torch.as_tensor([self.lr] if isinstance(self.lr, float) else self.lr) *")],
        "runs alone",
        "e-[0-9]+ of its size: that is rounding to float32, where a tensor is made without dtype=s.x.dtype",
    ),
    "says no source": ([(" Source: these tests.", "")], "form", "end its docstring with `Source: authors, year.`"),
    "climbs": ([("s.x - step", "s.x + step")], "descends", "look at the sign of the step"),
    "climbs so fast that it ends at nan": ([(STEP, "step = -a.grad * a.grad.abs() ** 3 *")], "descends", "look at the sign of the step"),
    "a gap of nothing over nothing": (
        [
            *GAP,
            (STEP, "gap = s.x - s.kept; step = gap / gap.norm(dim=-1, keepdim=True) *"),
            (RETURN, "Kept(s.x - step, s.k + 1, s.n, s.x)"),
        ],
        "descends",
        "At arrival 0 the model became nan .step size 0.003.: a division by zero.*add a small number to the denominator",
    ),
    "a gradient over nothing": (
        [*GAP, (STEP, "step = 1 / (s.x - s.kept) *"), (RETURN, "Kept(s.x - step, s.k + 1, s.n, s.x)")],
        "descends",
        "At arrival 0 the model became inf",
    ),
    "a root at a large delay": (
        [(STEP, "step = torch.full_like(s.x, 60 - a.delay).sqrt() / 8 *")],
        "descends",
        "At arrival 1[0-9]{2} the model became nan.*the root of a negative number",
    ),
    "a threshold in batched": (
        [*THRESHOLD, (STEP, "if a.delay > self.threshold: return s\n        step =")],
        "repeats",
        r"mine.py, line 25: `if a.delay > .*Remedy: self.threshold is named in `batched`.*take it out of `batched`, or decide by",
    ),
    "says nothing": ([('    """x <- x - lr g. Source: these tests."""\n', "")], "form", "Mine has no docstring"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_told_in_a_sentence(case, tmp_path):
    changes, check, words = BROKEN[case]
    *fine, last = conform(found(tmp_path, *changes), processes=False)
    assert not any(finding.problem for finding in fine)
    assert last.check == check and re.search(words, last.problem) and last.problem.endswith("."), last


# Checks that others precede in `conform` find something by themselves, too: cause and words.
ALONE = {
    "repeats": ([(STEP, "SEEN.append(1); step = (1 + len(SEEN) % 7) *")], "A second replay of the same trace gave other numbers"),
    "runs alone": ([(STEP, "step = 1 / (1 + a.grad.norm()) *")], "lr = 0.02 and seed 0 beside three others is not the run alone"),
    "batches": ([(STEP, "step = a.grad.untyped_storage().nbytes() *")], "With 1 gradients a call other models come out than with many"),
    "without coordinates": ([(STEP, "if a.grad.norm() < 1.5: return s\n        step =")], "are 1 on a real model and 0 on one without"),
    "copies": ([(SIZE, f"{SIZE}\n    key: object = field(default_factory=object)"), ("import dataclass\n", "import dataclass, field\n")],
        "A pickled or copied method does not equal the original"),
}  # fmt: skip


@pytest.mark.parametrize("check", ALONE)
def test_each_check_can_fail(check, tmp_path):
    changes, words = ALONE[check]
    with pytest.raises(Nonconforming, match=words):
        CHECKS[check](found(tmp_path, *changes))


@pytest.mark.slow
def test_real_processes_are_told_from_their_replay(tmp_path):
    with pytest.raises(Nonconforming, match="A real run does not replay to the server's model"):
        CHECKS["real processes"](found(tmp_path, (STEP, "SEEN.append(1); step = (1 + len(SEEN) % 7) *")))


def test_the_delays_tried_are_told(tmp_path):
    assert re.match(r"Delays tried: up to 100 in .* up to 10[0-9] on a trace", delays(found(tmp_path)))
    barrier = METHODS["sgd_minibatch"]  # k counts rounds: there are no large delays
    assert re.match(r"Delays tried: up to 39 in .* up to 0 on a trace", delays(barrier))
