"""What a notebook's kernel finds: the environment's own Python, one thread, inline figures, a folder for results."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SECONDS = NOTEBOOKS / "seconds.json"  # what each quick run took when it was accepted; only orders the next runs


def cores() -> int:
    """How many notebooks to run at once: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chosen(only: list[str]) -> list[Path]:
    """The numbered notebooks, or those whose names begin with one of `only`; ValueError if there is none."""
    everything = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    found = [path for path in everything if not only or path.name.startswith(tuple(only))]
    if not found:
        names = ", ".join(path.stem for path in everything) or "none at all"
        raise ValueError(f"No notebook begins with {' or '.join(only) or 'a digit'}; there are: {names}.")
    return found


def asked(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, list[Path]]:
    """What the command line says, and the notebooks that it names; status 2, with a sentence, where it names none that is there."""
    parser.add_argument("only", nargs="*", help="beginnings of notebook names; all if none is given")
    given = parser.parse_args()
    try:
        return given, chosen(given.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def environment(results: Path) -> dict[str, str]:
    """Environment variables for kernels: figures and verdicts go to `results` (ASGD_RESULTS).

    JUPYTER_PATH comes before every other place that a kernel named python3 could be found in. Agg would keep figures
    out of the notebook, so the back end is the inline one.
    """
    return os.environ | {
        "ASGD_RESULTS": str(results),
        "JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",  # papermill writes the notebook's path into its metadata: none that another encoding has taken apart
    }
