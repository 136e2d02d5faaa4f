"""The library's docstrings are plain sentences with `code` and light formulas; this makes reStructuredText of them.

Nothing in them is markup but backticks, lists and indented blocks, so whatever reStructuredText would read into a formula
(|g|, x_, *) is escaped. Formulas outside backticks are set: Greek letters, arrows, indices, exponents.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Mapping

from site_formulas import to_rst as set_formulas

_CODE = re.compile(r"`+([^`]+?)`+")
_ITEM = re.compile(r"(- |\d+\. )")
_SCRIPT = re.compile(r"[_^]\{[^{}]*\}")  # an index or an exponent: code in it is set like the rest


def inline(text: str) -> str:
    """One paragraph: code stays code, everything else is escaped and set with proper signs."""
    parts = _CODE.split(_SCRIPT.sub(lambda script: script[0].replace("`", ""), text))
    words = [set_formulas(part) if i % 2 == 0 else f"``{part}``" for i, part in enumerate(parts)]
    # A literal must not touch a letter: "`x`s" needs the empty separator of reStructuredText.
    joined = words[0]
    for word in words[1:]:
        glue = "\\ " if joined and word and (joined.endswith("``") or word.startswith("``")) and not joined[-1].isspace() else ""
        joined += glue + word if not word[:1].isspace() else word
    return joined


def to_rst(lines: list[str]) -> list[str]:
    """A docstring's lines, already dedented, as reStructuredText."""
    done: list[str] = []
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        if not block.strip():
            continue
        if block[0].isspace() or block.startswith(">>>"):
            kind = "pycon" if ">>>" in block else "text"
            done += [f".. code-block:: {kind}", "", *textwrap.indent(textwrap.dedent(block), "   ").splitlines()]
        elif _ITEM.match(block):
            done += _items(block)
        elif block.startswith("|") and re.match(r"\|[ :|-]+\|$", block.splitlines()[1].strip() if "\n" in block else ""):
            done += _table(block)
        else:
            done.append("\\" + text if (text := inline(_joined(block)))[:1] in "+-.=#" else text)
        done.append("")
    return done


def _items(block: str) -> list[str]:
    """A list: every line that begins with a dash or a number starts an item, the others continue it."""
    items: list[list[str]] = []
    for line in block.splitlines():
        if _ITEM.match(line):
            items.append([line])
        else:
            items[-1].append(line)
    done = []
    for item in items:
        mark = _ITEM.match(item[0])[0]
        done.append(mark + inline(_joined("\n".join([item[0][len(mark) :], *item[1:]]))))
    return done


def _table(block: str) -> list[str]:
    """A table as Markdown has it, the second line of which is a rule."""
    head, _, *rows = ([inline(cell.strip()) for cell in line.strip().strip("|").split("|")] for line in block.splitlines())
    done = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        done += [f"   {'  -' if i else '* -'} {cell}" for i, cell in enumerate(row)]
    return done


def _joined(block: str) -> str:
    return " ".join(line.strip() for line in block.splitlines())


class _AsWritten:
    """An annotation as the source has it: evaluated ones fill pages (numpy's ArrayLike is a union of eight)."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


def as_written(annotation: object) -> object:
    text = getattr(annotation, "__forward_arg__", annotation)  # named tuples wrap theirs
    return _AsWritten(text) if isinstance(text, str) else annotation


def shown_default(default: object) -> object:
    """A default that means something on a page: classes by name, and no environment of whoever builds the site, nor other long values."""
    if isinstance(default, type) and default is not inspect.Parameter.empty:
        return _AsWritten(default.__name__)
    return _AsWritten("...") if isinstance(default, Mapping) or len(repr(default)) > 100 else default


def fields(obj: type) -> list[str]:
    """Shapes, units and meanings that the source has behind the public fields of a class (`end: float  # s`), as the lines of a list."""
    try:
        source = textwrap.dedent(inspect.getsource(obj))
    except (OSError, TypeError):
        return []
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    said = {token.start[0]: token.string.lstrip("#: ") for token in tokens if token.type == tokenize.COMMENT}
    declared = (one for one in ast.parse(source).body[0].body if isinstance(one, ast.AnnAssign))
    named = [(one.target.id, said.get(one.end_lineno)) for one in declared if not ast.unparse(one.annotation).startswith("ClassVar")]
    return [f"- `{name}`: {text}" for name, text in named if text and not name.startswith("_") and not text.startswith("noqa")]


def signature(app, what, name, obj, options, arguments, result) -> tuple[str, str] | None:
    if what not in ("function", "method", "class") or arguments is None:
        return None
    try:
        known = inspect.signature(obj)
    except (TypeError, ValueError):
        return None
    if what == "class" and getattr(obj, "_is_protocol", False):
        return "", ""  # nobody makes one
    found = [one.replace(annotation=as_written(one.annotation), default=shown_default(one.default)) for one in known.parameters.values()]
    if what == "method" and found and found[0].name in ("self", "cls"):
        found = found[1:]
    returns = known.return_annotation if what != "class" else known.empty
    shown = str(known.replace(parameters=found, return_annotation=known.empty))
    return shown, "" if returns is known.empty or returns is None else inspect.formatannotation(as_written(returns))


def process(app, what, name, obj, options, lines) -> None:
    listed = fields(obj) if what == "class" else []
    lines[:] = to_rst([*lines, "", *listed])


def skip(app, what, name, obj, skip, options) -> bool | None:
    """Fields of named tuples have a docstring from Python ("Alias for field number 0") that says nothing."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def setup(app) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
