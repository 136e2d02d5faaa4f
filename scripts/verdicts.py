"""Rewrite VERDICTS.md, and the README's summary of it, from notebooks/verdicts: `make verdicts`."""

from __future__ import annotations

import sys

from notebook_kernel import ROOT

from asgd_lib.atomic import atomic_path
from asgd_lib.results import load_verdicts, markdown_summary, markdown_table

BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"

HEAD = """# Verdicts

What the quick presets gave, claim by claim. An interval is over seeds (or repeats, where real processes are timed, and draws of the problem
in 10); a claim is *reproduced* where it lies in the region that was fixed before the run, *not reproduced* where it lies outside, *partly*
where it lies across or where conditions disagree, and *not tested* where the set-up does not allow a judgement. The notebooks argue each
region.

"""


def with_table(readme: str, table: str) -> str:
    """`readme` with `table` between its two markers; ValueError unless each marker is there once, in order."""
    before, found, rest = readme.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed) or BEGIN in rest or END in before + after:
        raise ValueError(f"README.md must have one line {BEGIN} and below it one line {END}.")
    return f"{before}{BEGIN}\n{table}{END}{after}"


def current() -> dict[str, str]:
    """Both files as they follow from the committed verdicts."""
    verdicts = load_verdicts(ROOT / "notebooks")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return {"README.md": with_table(readme, markdown_summary(verdicts)), "VERDICTS.md": HEAD + markdown_table(verdicts)}


def main() -> int:
    try:
        texts = current()
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, text in texts.items():
        with atomic_path(ROOT / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
