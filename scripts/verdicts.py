"""Rewrite the README's table of verdicts from results/quick/verdicts: `make verdicts`."""

from __future__ import annotations

import sys

from notebook_kernel import ROOT

from asgd_lib.atomic import atomic_path
from asgd_lib.results import load_verdicts, markdown_table

BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"


def with_table(readme: str, table: str) -> str:
    """`readme` with `table` between its two markers; ValueError unless each marker is there once, in order."""
    before, found, rest = readme.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed) or BEGIN in rest or END in before + after:
        raise ValueError(f"README.md must have one line {BEGIN} and below it one line {END}.")
    return f"{before}{BEGIN}\n{table}{END}{after}"


def current_table() -> str:
    """The table as it follows from the committed verdicts."""
    return markdown_table(load_verdicts(ROOT / "results" / "quick"))


def main() -> int:
    readme = ROOT / "README.md"
    try:
        text = with_table(readme.read_text(encoding="utf-8"), current_table())
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    with atomic_path(readme) as partial:
        partial.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
