"""A notebook's parameters: every wrong one is a sentence, within the first second."""

import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest

from asgd_lib import checks
from asgd_lib.parameters import (
    Choice,
    Count,
    Flag,
    Inside,
    ListOf,
    NonNegative,
    ParameterError,
    Positive,
    check_parameters,
)

ROOT = Path(__file__).parents[1]
KINDS = {
    "n_workers": Count(least=1, most=1000),
    "alpha": Positive(),
    "dataset": Choice("digits", "fashion_mnist"),
    "seeds": ListOf(Count(least=0), least=2),
    "real": Flag(),
    "per_node": Count(1, 8, "There are 8 devices."),
}
GOOD = {"n_workers": 25, "alpha": 0.3, "dataset": "digits", "seeds": [0, 1], "real": False, "per_node": 2}


def test_good_parameters_come_back_in_the_order_declared():
    assert list(check_parameters(dict(reversed(GOOD.items())), **KINDS).items()) == list(GOOD.items())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_workers": 0}, "n_workers must be a whole number of at least 1 and at most 1000; got 0."),
        ({"n_workers": 1001}, "n_workers must be a whole number of at least 1 and at most 1000; got 1001."),
        ({"n_workers": 2.0}, "n_workers must be a whole number of at least 1 and at most 1000; got 2.0."),
        ({"n_workers": True}, "n_workers must be a whole number of at least 1 and at most 1000; got True."),
        ({"n_workers": [3]}, "n_workers must be a whole number of at least 1 and at most 1000; got [3]."),
        ({"per_node": 9}, "per_node must be a whole number of at least 1 and at most 8; got 9. There are 8 devices."),
        ({"alpha": 0}, "alpha must be a finite number above 0; got 0."),
        ({"alpha": float("inf")}, "alpha must be a finite number above 0; got inf."),
        ({"alpha": float("nan")}, "alpha must be a finite number above 0; got nan."),
        ({"alpha": True}, "alpha must be a finite number above 0; got True."),
        ({"alpha": [0.1]}, "alpha must be a finite number above 0; got [0.1]."),
        ({"alpha": None}, "alpha must be a finite number above 0; got None."),
        (
            {"alpha": "1e-3"},
            "alpha must be a finite number above 0; got '1e-3'. It came as a string: YAML takes 1.0e-3 for a number, "
            "but 1e-3 and '1' for text.",
        ),
        ({"dataset": "mnist"}, "dataset must be one of 'digits', 'fashion_mnist'; got 'mnist'."),
        ({"seeds": [1, 1]}, "seeds must not repeat a value; got 1 twice in [1, 1]."),
        ({"seeds": [3]}, "seeds must have at least 2 elements; got 1: [3]."),
        ({"seeds": [0, -1]}, "seeds[1] must be a whole number of at least 0; got -1."),
        ({"seeds": 3}, "seeds must be a list, such as [1, 2]; got 3."),
        (
            {"seeds": "[0, 1]"},
            "seeds must be a list, such as [1, 2]; got '[0, 1]'. It came as a string: papermill takes lists by "
            "-y 'name: [1, 2]' or from a file by -f.",
        ),
        ({"real": 1}, "real must be True or False; got 1."),
        ({"real": "true"}, "real must be True or False; got 'true'. It came as a string: with papermill -p write True or False."),
    ],
)
def test_a_wrong_value_is_one_sentence(change, sentence):
    with pytest.raises(ParameterError) as caught:
        check_parameters(GOOD | change, **KINDS)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Positive(most=2), [1, 2.0, 1e-300], [2.1, -1, 0]),
        (NonNegative(), [0, 0.0, 3], [-1e-9, "0", False]),
        (Inside(0, 1), [0, 1, 0.5], [1.01, -0.1, float("nan"), True, [0.5]]),
        (ListOf(Positive(), most=3), [[1], (0.1, 2), [1, 2, 3]], [[], [1, 2, 3, 4], [0], [True], ["1e-3"]]),
        (ListOf(Flag(), distinct=False), [[True, True]], [[1]]),
    ],
)
def test_kinds(kind, good, bad):
    for value in good:
        assert check_parameters({"p": value}, p=kind) == {"p": value}
    for value in bad:
        with pytest.raises(ParameterError, match=r"^p(\[\d\])? must"):
            check_parameters({"p": value}, p=kind)


def test_a_string_inside_a_list_is_explained_too():
    with pytest.raises(ParameterError, match="YAML takes 1.0e-3"):
        check_parameters({"lrs": [0.1, "1e-3"]}, lrs=ListOf(Positive()))


def test_a_misspelt_name_is_told_from_the_rest_of_a_namespace():
    here = {"__name__": "__main__", "_i": "text", "In": [], "Out": {}, "get_ipython": print, "exit": object(), "Path": Path, "sys": sys}
    assert check_parameters(here | GOOD, **KINDS) == GOOD
    with pytest.raises(ParameterError) as caught:
        check_parameters(here | GOOD | {"n_worker": 4}, **KINDS)
    assert str(caught.value) == (
        "Unknown parameter 'n_worker'; did you mean 'n_workers'? Known: alpha, dataset, n_workers, per_node, real, seeds. "
        "Correct the name and restart the kernel."
    )
    with pytest.raises(ParameterError, match="Unknown parameter 'zzz'. Known"):
        check_parameters(here | GOOD | {"zzz": None}, **KINDS)


def test_a_missing_parameter_is_told():
    with pytest.raises(ParameterError, match="'alpha' is missing: run the parameters cell"):
        check_parameters({"n_workers": 1}, n_workers=Count(), alpha=Positive())


def test_the_cell_can_be_run_again_when_the_notebook_has_results_of_its_own():
    namespace = dict(GOOD)
    check_parameters(namespace, **KINDS)
    namespace["losses"] = [1.0, 0.5]
    assert check_parameters(namespace, **KINDS) == GOOD
    namespace["alpha"] = -1
    with pytest.raises(ParameterError, match="alpha"):
        check_parameters(namespace, **KINDS)


def test_a_failed_check_does_not_count_as_passed():
    namespace = GOOD | {"typo": 1}
    for _ in range(2):
        with pytest.raises(ParameterError, match="typo"):
            check_parameters(namespace, **KINDS)


def test_importing_it_loads_nothing_heavy():
    code = "import sys, asgd_lib.parameters; print(*({'torch', 'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_papermill_stops_at_a_name_that_nobody_reads(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("n_workers: int = 4  # workers", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "from asgd_lib.parameters import Count, check_parameters\nprint(check_parameters(globals(), n_workers=Count()))"
        ),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    source, result = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), source)
    run = {"cwd": str(ROOT), "progress_bar": False}
    papermill.execute_notebook(source, result, {"n_workers": 9}, **run)
    assert nbformat.read(result, 4).cells[-1].outputs[0].text == "{'n_workers': 9}\n"
    with pytest.raises(papermill.PapermillExecutionError, match="did you mean 'n_workers'"):
        papermill.execute_notebook(source, result, {"n_worker": 9}, **run)
    error = nbformat.read(result, 4).cells[-1].outputs[0]
    assert error.traceback == [f"ParameterError: {error.evalue}"]


class Several:
    """What arrays and tensors of several numbers do, without numpy and torch."""

    def __index__(self):
        raise TypeError("only one element can be converted")

    def __eq__(self, other):
        raise ValueError("the truth value is ambiguous")

    __hash__ = None


@pytest.mark.parametrize(
    "value",
    [Several(), 10**400, -(10**5000), {1.0}, {"a": 1}, 1j, b"1", "1", None, True, [None], object()],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "check",
    [
        lambda value: checks.count("it", value, most=10**18),
        lambda value: checks.positive("it", value),
        lambda value: checks.non_negative("it", value),
        lambda value: checks.finite("it", value),
        lambda value: checks.inside("it", value, 0.0, 2.0),
        lambda value: checks.choice("it", value, ("a", "b")),
    ],
)
def test_what_is_no_such_number_is_refused_by_every_check_in_a_sentence(check, value):
    with pytest.raises(ValueError, match=r"^it must be .*; got .*\.$") as caught:
        check(value)
    assert len(str(caught.value)) < 200


def test_an_array_of_no_dimension_is_a_number():
    for check in (checks.positive, checks.non_negative, checks.finite):
        check("it", np.array(2.0))
    checks.inside("it", np.array(2), 0.0, 2.0)
    with pytest.raises(ValueError, match="it must be a finite number above 0; got array"):
        checks.positive("it", np.array(-1.0))
