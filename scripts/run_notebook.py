"""Execute one notebook; `figures.py` starts one such process for each. Says in a sentence what went wrong, if anything.

The executed notebook appears under its name when it is whole, or as NAME.failed.ipynb up to the cell that failed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import sys
from pathlib import Path

if os.environ.get("ASGD_QUIET") and hasattr(libc := ctypes.CDLL(None), "prctl"):
    libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: when figures.py is killed, end with the kernel

# Where it is installed, jsonschema builds a grammar of web addresses for more than a second; no notebook's metadata needs it.
sys.modules.setdefault("rfc3987_syntax", None)

import papermill  # noqa: E402
import yaml  # noqa: E402
from file_kernels import AsyncFileKernelManager, start_again_once  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402

from asgd_lib.atomic import atomic_path  # noqa: E402


def parameters(notebook: Path, values: Path | None) -> dict:
    """The parameters in the YAML file `values`; ValueError where it is none, or the notebook's parameters cell has no such name."""
    given = literals(values) if values else {}
    known = papermill.inspect_notebook(str(notebook)) if given else {}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"{values.name} sets {', '.join(unknown)}; the parameters of {notebook.name} are {', '.join(known)}.")
    return given


def literals(values: Path) -> dict:
    """The names and values in a YAML file; ValueError where it holds anything else."""
    try:
        given = yaml.safe_load(values.read_text("utf-8")) or {}
        json.dumps(given)  # numbers, strings, lists: no dates, no sets, nothing that contains itself
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{values.name} is no YAML file of numbers, strings and lists ({why}); correct it, or restore a copy.") from None
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{values.name} must have lines NAME: VALUE, as in `n_workers: 25`.")
    return given


def execute(notebook: Path, target: Path, values: Path | None) -> None:
    """Run `notebook` in its own folder with the parameters in `values`, and write `target` in one piece."""
    failed = target.with_suffix(".failed.ipynb")
    with atomic_path(target) as partial:
        try:
            start_again_once(papermill.execute_notebook)(
                notebook,
                partial,
                parameters(notebook, values),
                kernel_name="python3",
                cwd=notebook.parent,
                progress_bar=False,
                kernel_manager_class=AsyncFileKernelManager,
            )
        except PapermillExecutionError:
            with atomic_path(failed) as kept:
                shutil.copyfile(partial, kept)
            raise
    failed.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--parameters", type=Path, help="YAML file")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        execute(chosen.notebook, chosen.target, chosen.parameters)
    except PapermillExecutionError as error:
        line = next((line.strip() for line in error.source.splitlines() if line.strip()), "")
        print(f"cell [{error.exec_count}] (`{line}` ...) raised {error.ename}: {error.evalue}")
        print(f"The notebook up to there is {chosen.target.stem}.failed.ipynb.")
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # a dead kernel, a broken notebook or YAML file: one sentence for figures.py to print
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
