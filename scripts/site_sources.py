"""Gather what the site is made of into one folder: README, documents, executed notebooks, verdicts, one page a part of the library."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import site_commands
import site_formulas
import site_methods
from notebook_kernel import ROOT

from asgd_lib.results import load_verdicts

DOCUMENTS = ("BENCHMARKS.md", "DESIGN.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")  # those that are there
REFERENCE = re.compile(r"\]\(([^)#:\s]+)|\bsrc(?:set)?=\"([^\":\s]+)")  # of Markdown or HTML, inside the repository
JUDGED = re.compile(r"^(\w+) +(?:reproduced|partly|not reproduced|not tested) +measured", re.MULTILINE)
MADE = {"cli": site_commands.usage, "methods": site_methods.table}  # what a page has besides docstrings
# Dictionaries whose value would be printed as a paragraph of addresses.
TABLES = {"asgd_lib.cli": "COMMANDS", "asgd_lib.conformance": "CHECKS", "asgd_lib.methods": "METHODS"}
VERDICTS_HEAD = """# Verdicts

What the quick presets gave, claim by claim; a claim's number leads to the cell that judges it. An interval is over seeds (or repeats, where
real processes are timed). A claim is *reproduced* where it lies in the region that was fixed before the run, *not reproduced* where it lies
outside, *partly* where it lies across or where conditions disagree, and *not tested* where the set-up does not allow a judgement.
"""


def gather(target: Path) -> None:
    """Fill the empty folder `target` with all sources of the site."""
    for name in ("README.md", *DOCUMENTS):
        if (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8")
            copy_referenced(text, ROOT, target)
            if name != "README.md":
                (target / name).write_text(text, encoding="utf-8")
    (target / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        notebook = prepared(json.loads(path.read_text(encoding="utf-8")))
        prose = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
        copy_referenced("\n".join(prose), path.parent, target / "notebooks")
        (target / "notebooks" / path.name).write_text(json.dumps(notebook), encoding="utf-8")
    verdicts = load_verdicts(ROOT / "notebooks")
    (target / "VERDICTS.md").write_text(verdicts_page(verdicts, target / "notebooks"), encoding="utf-8")
    api(target)
    (target / "index.md").write_text(start_page(target), encoding="utf-8")


def copy_referenced(text: str, base: Path, target: Path) -> None:
    """Put pictures and other files that a text in the folder `base` leads to, pages excepted, where its links expect them."""
    for found in REFERENCE.finditer(text):
        path = Path(found[1] or found[2])
        if (base / path).is_file() and path.suffix not in (".md", ".ipynb"):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / path, target / path)


def prepared(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the claims that each cell judges in its metadata, and shown source code as plain code.

    IPython's own HTML of source code has the colours of a light page in it.
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "highlight" in "".join(data.get("text/html", "")):
                output["data"] = {"text/markdown": f"```python\n{''.join(data['text/plain']).rstrip()}\n```\n"}
        if claims := judged_in(cell):
            cell["metadata"]["claims"] = claims
    return notebook


def judged_in(cell: Mapping[str, Any]) -> list[str]:
    """The claims whose verdicts a cell prints, line by line."""
    texts = ("".join(output.get("text", "")) for output in cell.get("outputs", []))
    return [claim for text in texts for claim in JUDGED.findall(text)]


def verdicts_page(verdicts: list[dict[str, Any]], notebooks: Path) -> str:
    """All verdicts, a section a notebook, each claim linked to the cell that judges it."""
    page = [VERDICTS_HEAD]
    for run in verdicts:
        name = run["notebook"]
        cells = json.loads((notebooks / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        page += [f"## {title(cells)}\n", f"[{name}](notebooks/{name}.ipynb), {len(run['verdicts'])} claims\n", "{.verdicts}"]
        page += ["| claim | it says | measured | expected | verdict |", "| --- |" + " --- |" * 4]
        addressed = {claim for cell in cells for claim in cell["metadata"].get("claims", [])}
        for record in run["verdicts"]:
            claim, word = record["id"], record["verdict"]
            anchor = f"#claim-{claim}" if claim in addressed else ""
            said = (record["says"], record["shown"], record["expected"])
            row = [f'<a href="notebooks/{name}.html{anchor}">{claim}</a>', *map(site_formulas.to_html, said)]
            page.append("| " + " | ".join([*row, f'<span class="verdict {word.replace(" ", "-")}">{word}</span>']) + " |")
        page.append("")
    return "\n".join(page)


def title(cells: list[dict[str, Any]]) -> str:
    """A notebook's first heading."""
    return next(line for line in "".join(cells[0]["source"]).splitlines() if line.startswith("# "))[2:]


def parts() -> dict[str, list[str]]:
    """Part of the library -> the modules that document it: the part itself, or its modules where it names nothing public."""
    found = {}
    for path in sorted((ROOT / "asgd_lib").iterdir()):
        if path.name.startswith("_") or not (path.suffix == ".py" or (path / "__init__.py").is_file()):
            continue
        name = f"asgd_lib.{path.stem}"
        inner = sorted(module.stem for module in path.glob("[!_]*.py")) if path.is_dir() else []
        listed = not inner or "__all__" in (path / "__init__.py").read_text(encoding="utf-8")
        found[path.stem] = [name] if listed else [name, *(f"{name}.{module}" for module in inner)]
    return found


def api(target: Path) -> None:
    """api.md, and one page for each part that it names or, at its end, does not name."""
    (target / "api").mkdir()
    page, modules = (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), parts()
    named = re.findall(r"\]\(api/(\w+)\.md\)", page)
    for part in set(named) - modules.keys():
        raise ValueError(f"docs/api.md names api/{part}.md, but asgd_lib has no part {part}.")
    others = sorted(modules.keys() - set(named))
    page = page.rstrip() + "\n" + "".join(f"- [{part}](api/{part}.md): {summary(modules[part][0])}\n" for part in others)
    listing = "\n".join(f"api/{part}" for part in [*named, *others])
    (target / "api.md").write_text(f"{page}\n```{{toctree}}\n:hidden:\n\n{listing}\n```\n", encoding="utf-8")
    for part, names in modules.items():
        text = "\n\n".join([f"# {part}", *(section(name) if len(names) > 1 else directive(name) for name in names)])
        more = MADE[part]() if part in MADE else ""
        (target / "api" / f"{part}.md").write_text(f"{text}\n\n{more}", encoding="utf-8")


def section(name: str) -> str:
    return f"## {name.removeprefix('asgd_lib.')}\n\n{directive(name)}"


def directive(name: str) -> str:
    imported = "\n   :imported-members:" if is_package(name) else ""
    apart, table = "", TABLES.get(name)
    if table:
        imported += f"\n   :exclude-members: {table}"
        apart = f"\n\n.. autodata:: {name}.{table}\n   :no-value:"
    return f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:{imported}{apart}\n```"


def is_package(name: str) -> bool:
    return (ROOT / name.replace(".", "/") / "__init__.py").is_file()


def summary(name: str) -> str:
    """First sentence of a module's docstring, as Markdown."""
    path = ROOT / name.replace(".", "/")
    text = ast.get_docstring(ast.parse((path / "__init__.py" if is_package(name) else path.with_suffix(".py")).read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def start_page(target: Path) -> str:
    """README.md as the site's first page, with the tree of all pages below it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\[([^\]]+)\]\(notebooks/(\w+)\.ipynb\)", lambda link: _known(link, target), text)
    notebooks = [f"notebooks/{path.stem}" for path in sorted((target / "notebooks").glob("*.ipynb"))]
    documents = [name.removesuffix(".md") for name in DOCUMENTS if (target / name).is_file()]
    results = ["VERDICTS", *(name for name in documents if name == "BENCHMARKS")]
    project = ["api", *(name for name in documents if name != "BENCHMARKS")]
    return text + "".join(_tree(*tree) for tree in (("Notebooks", notebooks), ("Results", results), ("Library", project)))


def _known(link: re.Match, target: Path) -> str:
    """A link to a notebook, or its words alone where that notebook is not there yet."""
    return link[0] if (target / "notebooks" / f"{link[2]}.ipynb").is_file() else link[1]


def _tree(caption: str, pages: list[str]) -> str:
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
