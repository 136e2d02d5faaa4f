"""Docstrings on the site: nothing in them is taken for markup by accident, formulas are set, code stays code."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
import site_formulas
from docutils.core import publish_doctree

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("site_docstrings", ROOT / "docs" / "docstrings.py")
docstrings = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(docstrings)


class State(NamedTuple):
    x: Tensor  # noqa: F821


@dataclass
class Message:
    """What is sent."""

    worker: int
    sent: float  # s, when |x_k|^2 <= eps
    _secret: float = 0.0  # of nobody's concern
    word: ClassVar[str] = "size"  # what users call it


def shown(text: str) -> str:
    """What a reader sees of a docstring: docutils' text of the converted paragraphs, without any complaint."""
    tree = publish_doctree("\n".join(docstrings.to_rst(text.splitlines())), settings_overrides={"halt_level": 2, "report_level": 2})
    return tree.astext()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("x <- x - lr g min(1, radius / |g|).", "x ← x - lr g min(1, radius / |g|)."),
        ("Weights p_i, E|grad F|^2 <= eps.", "Weights pi, E|∇F|2 ≤ ε."),
        ("`tau_max` counts tau_max; the sum of `x`s, *args, a_ and **kw.", "tau_max counts τmax; the sum of xs, *args, a_ and **kw."),
        ("2 sum_i sigma_sq / sqrt(n)", "2 ∑i σ2 / √(n)"),
        ("x_{k+1} = x_k - lr_i mean_j(1 / t_j), (1 + delay)^{-`power`}", "xk+1 = xk - lri meanj(1 / tj), (1 + delay)−power"),
        ("mean +- t_{1/2, S-1} of (a / b)**shape, per_node-1, (x)_(k)", "mean ± t1/2, S−1 of (a / b)shape, per_node-1, (x)k"),
        ("| a | b |\n| --- | --- |\n| `c_d` | e |", "a\n\nb\n\nc_d\n\ne"),
        ("[a], <b>, http: c:: d\\e", "[a], <b>, http: c:: d\\e"),
        ("- one,\n  and on\n- two `x <- y`", "one, and on\n\ntwo x <- y"),
        ("+ not a list", "+ not a list"),
        ("As here:\n\n    raw *text*", "As here:\n\nraw *text*"),
    ],
)
def test_readers_see_what_was_written(text, expected):
    assert shown(text).lstrip() == expected


def test_indices_and_exponents_are_set():
    assert docstrings.inline("p_i^(-1/2)") == "p\\ :sub:`i`\\ \\ :sup:`−1/2`\\ "


def test_claims_are_set_in_html():
    said = site_formulas.to_html("|x - y|^2 ~ K^(-1/2) <= tau_k, -0.5 to 1e-12; x < y, a_b *c* D1-D3")
    assert said == "\\|x - y\\|<sup>2</sup> ∼ K<sup>−1/2</sup> ≤ τ<sub>k</sub>, −0.5 to 1e-12; x &lt; y, a<sub>b</sub> \\*c\\* D1-D3"


def test_signatures_are_those_of_the_source():
    def function(x: Unknown | None, *, n: int = 3) -> Unknown:  # noqa: F821
        """Annotated with a name that nothing defines, as those imported for type checkers alone are not when pages are built."""

    given = docstrings.signature(None, "function", "f", function, None, "()", None)
    assert given == ("(x: Unknown | None, *, n: int = 3)", "Unknown")


def test_fields_of_named_tuples_too():
    assert docstrings.signature(None, "class", "State", State, None, "()", None) == ("(x: Tensor)", "")


def test_a_default_is_no_copy_of_the_builders_environment():
    def place(environment=os.environ, of=Path, numbers=(1, 2), n=3):
        """Where, with what, how often."""

    given = docstrings.signature(None, "function", "place", place, None, "()", None)
    assert given == ("(environment=..., of=Path, numbers=(1, 2), n=3)", "")


def test_what_the_source_says_of_fields_is_listed():
    lines = Message.__doc__.splitlines()
    docstrings.process(None, "class", "Message", Message, None, lines)
    assert lines == docstrings.to_rst(["What is sent.", "", "- `sent`: s, when |x_k|^2 <= eps"])


def test_methods_are_shown_without_self():
    class Rule:
        def receive(self, s: State) -> State:  # noqa: F821
            """The state after one arrival."""

    assert docstrings.signature(None, "method", "f", Rule.receive, None, "()", None) == ("(s: State)", "State")
