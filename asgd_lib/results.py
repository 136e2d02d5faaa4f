"""Where a run leaves its figures and verdicts: whole files, the same bytes for the same results."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgd_lib.arguments import guard
from asgd_lib.atomic import atomic_path
from asgd_lib.verdicts import NOT_REPRODUCED, NOT_TESTED, PARTLY, REPRODUCED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from asgd_lib.verdicts import Verdict

# For savefig, by format: no dates and no version strings, so that two runs of one commit give equal files.
UNDATED = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
_SHOWN = ("id", "says", "shown", "expected", "verdict")  # of each verdict, in tables


def folder() -> Path:
    """`$ASGD_RESULTS` if it is set, else results/scratch in the nearest folder upward that has a pyproject.toml.

    Without such a folder it is results/scratch in the working directory. Nothing is made: saving makes what it needs.
    """
    if os.environ.get("ASGD_RESULTS"):
        return Path(os.environ["ASGD_RESULTS"])
    here = Path.cwd()
    root = next((place for place in (here, *here.parents) if (place / "pyproject.toml").is_file()), here)
    return root / "results" / "scratch"


def save_figure(fig: Figure, name: str) -> None:
    """Write figures/<name>.png (150 dots per inch) and .pdf under `folder()`.

    The current figures of a running notebook stay as they are. ValueError for a name that is not a plain file name.
    """
    stem = _plain_name("figure", name)
    for kind, metadata in UNDATED.items():
        with atomic_path(folder() / "figures" / f"{stem}.{kind}") as temporary:
            fig.savefig(temporary, format=kind, dpi=150, metadata=metadata)


def save_verdicts(notebook: str, verdicts: Iterable[Verdict], parameters: Mapping[str, Any]) -> None:
    """Write verdicts/<notebook>.json under `folder()`: the notebook, its parameters and one record for each verdict.

    ValueError for two verdicts with one claim id, and for parameters that JSON cannot hold.
    """
    stem = _plain_name("notebook", notebook)
    records = [verdict.as_dict() for verdict in verdicts]
    ids = [record["id"] for record in records]
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    if repeated:
        raise ValueError(f"{stem} has more than one verdict for {', '.join(repeated)}: give each claim an id of its own.")
    content = {"notebook": stem, "parameters": dict(parameters), "verdicts": records}
    try:
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The parameters of {stem} must be literals (numbers, strings, lists); JSON says: {error}.") from None
    with atomic_path(folder() / "verdicts" / f"{stem}.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def load_verdicts(results: str | os.PathLike | None = None) -> list[dict[str, Any]]:
    """What `save_verdicts` wrote under `results` (default `folder()`), one dict a notebook, in order of their names.

    ValueError where a file there is damaged, or was written by something else.
    """
    place = (folder() if results is None else Path(results)) / "verdicts"
    return [_verdicts_in(path) for path in sorted(place.glob("[!.]*.json"))]


def _verdicts_in(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
        whole = isinstance(found["notebook"], str) and all(isinstance(v[key], str) for v in found["verdicts"] for key in _SHOWN)
    except (ValueError, RecursionError, LookupError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"{path} is no whole file of verdicts; run its notebook again, or restore a copy.")
    return found


def markdown_table(all_verdicts: Iterable[Mapping[str, Any]]) -> str:
    """The table of all verdicts from `load_verdicts`: notebook (a link into the folder `notebooks`), claim, numbers, verdict."""
    rows = [("notebook", "claim", "it says", "measured", "expected", "verdict")]
    rows += [(_link(run), *(_cell(record[key]) for key in _SHOWN)) for run in all_verdicts for record in run["verdicts"]]
    return _markdown(rows)


def markdown_summary(all_verdicts: Iterable[Mapping[str, Any]]) -> str:
    """One row a notebook: how many claims were reproduced, and which were not, or partly, or could not be tested."""
    others = (PARTLY, NOT_REPRODUCED, NOT_TESTED)
    rows = [("notebook", "claims", REPRODUCED, *others)]
    for run in all_verdicts:
        ids = {verdict: [r["id"] for r in run["verdicts"] if r["verdict"] == verdict] for verdict in (REPRODUCED, *others)}
        rows.append((_link(run), str(len(run["verdicts"])), str(len(ids[REPRODUCED])), *(_cell(", ".join(ids[v])) for v in others)))
    return _markdown(rows)


def _markdown(rows: list[tuple[str, ...]]) -> str:
    """A table of which the first row is the head."""
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *others)) + "\n"


def _link(run: Mapping[str, Any]) -> str:
    return f"[{run['notebook']}](notebooks/{run['notebook']}.ipynb)"


def _cell(text: str) -> str:
    """Text that cannot end a table cell or start a tag."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


def _plain_name(what: str, name: str) -> str:
    if not name or name != Path(name).name or name.startswith("."):
        raise ValueError(f"A {what}'s name must be a plain file name without folders, such as '02_dude'; got {name!r}.")
    return name.removesuffix(".ipynb")


guard(__name__, costly=True)
