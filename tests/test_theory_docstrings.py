"""What the public formulas say of themselves: each its own name, its own method and its own source."""

import inspect

import pytest

from asgd_lib import theory

FORMULAS = [name for name in theory.__all__ if inspect.isfunction(getattr(theory, name))]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_is_no_other_name_of_another(name):
    assert getattr(theory, name).__name__ == name
    assert [other for other in FORMULAS if getattr(theory, other).__doc__ == getattr(theory, name).__doc__] == [name]


@pytest.mark.parametrize("name", [name for name in FORMULAS if name.startswith("time_")])
def test_the_time_of_a_method_names_this_method_first_and_a_source(name):
    said = getattr(theory, name).__doc__
    assert said.lower().startswith(name.removeprefix("time_").replace("_", " ")) and "Source: " in said


@pytest.mark.parametrize("name", ["time_shadowheart", "time_mindflayer"])  # the papers' own expressions were not at hand
def test_what_is_our_reading_says_so(name):
    assert "our reading" in getattr(theory, name).__doc__
