"""The strings of command lines: what they make, and what they say where they are wrong."""

import re
from pathlib import Path

import pytest
from serving import noisy

from asgd_lib import METHODS, clusters, problems, simulate, specs
from asgd_lib.spelling import meant

THREE = (1.0, 1.0, 1.0)
CLUSTERS = {
    "Fixed:1,2,4": clusters.Fixed((1.0, 2.0, 4.0)),
    "Fixed:010": clusters.Fixed((10.0,) * 3),  # not octal
    "equal:0.5": clusters.equal(3, 0.5),
    "straggler:10": clusters.straggler(3, 10.0),
    "straggler:10,seconds=0.02": clusters.straggler(3, 10.0, 0.02),
    "spread:4": clusters.spread(3, 4.0),
    "Exponential:0.5": clusters.Exponential((0.5,) * 3),
    "TruncatedNormal:1,std=.2": clusters.TruncatedNormal(THREE, 0.2),
    "LogNormal:1,2,3,sigma=2": clusters.LogNormal((1.0, 2.0, 3.0), 2.0),
    "Pareto:1e-3": clusters.Pareto((0.001,) * 3),
    "Uniform:1,high=2": clusters.Uniform(THREE, (2.0,) * 3),
    "Switching:1,slow=5,stagger=false": clusters.Switching(THREE, (5.0,) * 3, stagger=False),
    "Dropout:1,up=50,down=inf": clusters.Dropout(clusters.Fixed(THREE), 50.0, float("inf")),
}


@pytest.mark.parametrize(("text", "expected"), CLUSTERS.items())
def test_a_string_makes_a_cluster_that_runs(text, expected):
    assert specs.cluster(text, 3) == expected
    assert len(simulate(specs.cluster(text, 3), METHODS["asgd"](0.1), arrivals=30)) == 30


def test_strings_make_every_kind_of_cluster_that_is_not_for_python_alone():
    assert {text.partition(":")[0] for text in CLUSTERS} == set(specs.CLUSTERS)
    alone = set(clusters.__all__) - set(specs.CLUSTERS)
    assert alone == {"Cluster", "Network", "Link", "Nodes", "FromTrace"}


def test_the_form_of_a_kind_is_its_signature():
    assert specs.form("Fixed") == "Fixed:SECONDS" and specs.form("straggler") == "straggler:SLOWDOWN[,seconds=1.0]"
    assert specs.form("Switching") == "Switching:FAST,slow=SLOW[,period=10.0,stagger=True]"
    assert specs.form("mlp") == "mlp:DATA[,l2=0.0,hidden=128,init_seed=0]"


FORM = "Fixed:SECONDS takes one number for all workers, or 5 with commas, one a worker."
WRONG_CLUSTERS = {
    "Fixed:1,1,x": f"'x' in 'Fixed:1,1,x' is no number: {FORM}",
    "Fixed:1,1": f"'Fixed:1,1' has 2 numbers: {FORM}",
    "Fixed": f"'Fixed' has no numbers: {FORM}",
    "Fixed:true": "'true' in 'Fixed:true' is no number: ",
    "equal:1,2": "'equal:1,2' has 2 numbers: equal:SECONDS takes one number.",
    "exponential:1": "There is no kind of cluster 'exponential' (did you mean 'Exponential'?) for 'exponential:1'. There are Fixed, ",
    "Fast:1": "There is no kind of cluster 'Fast' for 'Fast:1'. There are Fixed, ",
    "Network:1": "There is no kind of cluster 'Network' (clusters.Network is for Python alone) for 'Network:1'. ",
    "LogNormal:1,sigam=2": "LogNormal has no keyword 'sigam' (did you mean 'sigma'?) in 'LogNormal:1,sigam=2': write LogNormal:MEDIAN[,",
    "LogNormal:1,sigma=two": "'two' in 'LogNormal:1,sigma=two' is no number: write LogNormal:MEDIAN[,sigma=1.0].",
    "Switching:1,slow=5,5": "Switching cannot have '5' after a keyword in 'Switching:1,slow=5,5': write Switching:FAST,slow=SLOW[,",
    "Switching:1,slow=5,stagger=2": "'2' in 'Switching:1,slow=5,stagger=2' is neither true nor false: write Switching:",
    "Dropout:1": "Dropout needs up= and down=, which 'Dropout:1' does not have: write Dropout:SECONDS,up=UP,down=DOWN.",
}  # fmt: skip


@pytest.mark.parametrize(("text", "says"), WRONG_CLUSTERS.items())
def test_a_wrong_cluster_is_told_what_is_wrong_with_it(text, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        specs.cluster(text, 5)


PROBLEMS = {
    "softmax:digits": problems.Softmax,
    "logistic:breast_cancer": problems.LogisticRegression,
    "least_squares:diabetes": problems.LeastSquares,
    "mlp:digits,hidden=16": problems.MLP,
    "cnn:digits": problems.SmallCNN,
    "resnet:digits,channels=1,blocks=1,width=4": problems.ResNet,
}


@pytest.mark.parametrize(("text", "kind"), PROBLEMS.items())
def test_a_string_makes_a_problem(text, kind):
    made = specs.problem(text, 4, batch=8)
    assert type(made) is kind and made.n == 4 and made.batch == 8 and (text[:3] != "mlp" or made.hidden == 16)


def test_every_kind_of_problem_is_made_of_some_string(tmp_path, monkeypatch):
    (tmp_path / "own.txt").write_text("abcdefghi\n" * 100)
    monkeypatch.setenv("ASGD_DATA", str(tmp_path / "own.txt"))
    assert type(specs.problem("char_lm:shakespeare,width=2,hidden=4", 2)) is problems.CharLM
    assert {text.partition(":")[0] for text in PROBLEMS} | {"char_lm"} == set(specs.PROBLEMS)


KINDS = "softmax, logistic, least_squares, mlp, cnn, resnet, char_lm"
WRONG_PROBLEMS = {
    "softmax": "A problem is KIND:DATA (kinds softmax, ",
    "sotfmax:digits": f"'sotfmax' is neither one of {KINDS} (did you mean 'softmax'?) nor a module",
    "MLP:digits": f"'MLP' is neither one of {KINDS} (did you mean 'mlp'?) nor a module",
    ":digits": "'' is neither one of ",
    "serving:nothing": f"'serving' is neither one of {KINDS} nor a module, here or on PYTHONPATH, that has 'nothing'",
    "softmax:digit": "There is no data set 'digit' (did you mean 'digits'?) for 'softmax:digit'. There are digits, ",
    "softmax:l2=1": "'softmax:l2=1' names no data set. There are digits, ",
    "mlp:digits,hiden=9": "mlp has no keyword 'hiden' (did you mean 'hidden'?) in 'mlp:digits,hiden=9': write mlp:DATA[,l2=0.0,",
    "softmax:diabetes": "'softmax:diabetes' does not fit: diabetes has a real target, and softmax is for classes.",
    "least_squares:iris": "'least_squares:iris' does not fit: iris has classes, and least_squares is for a real target.",
    "least_squares:diabetes": "alpha splits data by class, and diabetes has a real target: leave alpha out.",
}  # fmt: skip


@pytest.mark.parametrize(("text", "says"), WRONG_PROBLEMS.items())
def test_a_wrong_problem_is_told_what_is_wrong_with_it(text, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        specs.problem(text, 5, alpha=0.5)


def test_an_error_in_ones_own_problem_is_not_taken_for_a_wrong_name(monkeypatch):
    def broken(n):
        raise AttributeError("mine")

    monkeypatch.setattr("serving.broken", broken, raising=False)
    with pytest.raises(AttributeError, match="^mine$"):
        specs.problem("serving:broken", 2)


def test_an_unknown_method_is_told_of_in_the_same_words_everywhere():
    with pytest.raises(KeyError) as table:
        METHODS["Dud"]
    said = table.value.args[0]
    assert re.fullmatch(r"There is no method 'Dud' \(did you mean 'dude'\?\); the table has sgd_minibatch, .*fedasync\.", said)
    with pytest.raises(ValueError, match=f"^{re.escape(said)} A method of your own is path/to/file.py:Name.$"):
        specs.row("Dud")


def test_what_was_meant_is_guessed_in_one_place():
    package = Path(specs.__file__).parent
    assert [str(path.relative_to(package)) for path in package.rglob("*.py") if "did you mean" in path.read_text()] == ["spelling.py"]
    assert meant("fixd", ["Fixed"]) == " (did you mean 'Fixed'?)" and meant("fixd", ["Fixed"], "; {}") == "; did you mean 'Fixed'?"
    assert meant("wings", ["Fixed"]) == meant("wings", ["Fixed"], "; {}") == ""


def test_the_rest():
    assert specs.grid("0.01:1:3") == pytest.approx([0.01, 0.1, 1.0])
    assert specs.method("dude", 0.1, ["n_arrivals=2"]) == METHODS["dude"](lr=0.1, n_arrivals=2)
    assert specs.method("asgd_rescaled", 0.1, ["times=[1.0, 2.0]"]).rule.times == (1.0, 2.0)
    assert specs.method("asgd_clipped", 0.1, ["radius=1e-3"]).rule.radius == 0.001  # which is a word in YAML
    assert specs.spelling.value("[" * 10_000) == "[" * 10_000  # deeper than YAML's reader goes
    assert specs.problem("serving:noisy", 4).x0.equal(noisy(4).x0)
    for given in ({"alpha": 0.1}, {"batch": 8}):
        with pytest.raises(ValueError, match="'serving:noisy' chooses its batches and splits its data itself: leave batch and alpha out"):
            specs.problem("serving:noisy", 4, **given)


def test_problems_are_spelt_alike_if_and_only_if_they_are_alike():
    given = [{}, {"batch": 8}, {"alpha": 0.1}, {"alpha": 1.0}, {"batch": 8, "alpha": 0.1}]
    assert len({specs.spelt("softmax:iris", **one) for one in given}) == len(given)
    assert specs.spelt("softmax:iris", 32) == specs.spelt("softmax:iris") == "softmax:iris, batch 32, split evenly"
    assert specs.spelt("serving:noisy") == "serving:noisy"  # which knows of neither
    assert specs.problem("softmax:digits", 4, alpha=0.1).n == 4
