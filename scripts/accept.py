"""Copy the notebooks that `make figures` ran over the committed ones, without the metadata of that run, and their verdicts with them.

The README's picture is a figure of notebook 00 and is taken over with it.

Only what belongs to the present sources is taken: the cells must be the same, and the run must have reached the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import nbformat
from notebook_kernel import NOTEBOOKS, ROOT, SECONDS, asked

from asgd_lib.atomic import atomic_path

FRONT_PAGE = ("00_start_here", "00-front-page.png", ROOT / "docs" / "images" / "front-page.png")  # notebook, its figure, the copy
STRIPPED = "metadata.papermill cell.metadata.papermill cell.metadata.execution"


def sources(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Kind and text of each cell: what the author wrote."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def refusal(committed: Path, result: Path) -> str:
    """Why `result` cannot replace `committed`, or an empty string."""
    if result.with_suffix(".failed.ipynb").exists():
        return "its last run failed"
    if not result.exists():
        return "it was not run yet"
    if sources(nbformat.read(committed, 4)) != sources(nbformat.read(result, 4)):
        return "it has changed since it was run"
    return ""


def accept(committed: Path, result: Path) -> float:
    """Replace `committed` by `result`, stripped; the seconds which that run took."""
    seconds = nbformat.read(result, 4).metadata.papermill.duration
    with atomic_path(committed) as partial:
        partial.write_bytes(result.read_bytes())
        strip = [sys.executable, "-m", "nbstripout", "--keep-output", "--keep-count", "--extra-keys", STRIPPED]
        subprocess.run([*strip, str(partial)], check=True)
    verdicts = Path("verdicts", f"{committed.stem}.json")
    if (result.parent / verdicts).exists():
        with atomic_path(committed.parent / verdicts) as partial:
            partial.write_bytes((result.parent / verdicts).read_bytes())
    notebook, figure, copy = FRONT_PAGE
    if committed.stem == notebook:
        with atomic_path(copy) as partial:
            partial.write_bytes((result.parent / "figures" / figure).read_bytes())
    return seconds


def main() -> int:
    _, notebooks = asked(argparse.ArgumentParser(description=__doc__))
    results = ROOT / "results" / "quick"
    refused = {path: why for path in notebooks if (why := refusal(path, results / path.name))}
    for path, why in refused.items():
        print(f"{path.stem} stays as it is: {why}. Run: make figures ONLY={path.stem}", file=sys.stderr)
    seconds = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
    for path in notebooks:
        if path not in refused:
            seconds[path.stem] = round(accept(path, results / path.name))
            print(f"accepted {path.relative_to(ROOT)}")
    kept = {path.stem: seconds[path.stem] for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")) if path.stem in seconds}
    with atomic_path(SECONDS) as partial:
        partial.write_text(json.dumps(kept, indent=2) + "\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
