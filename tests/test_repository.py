"""The shape of the project: import layers, file sizes, notebooks, and what must not be in a committed file."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import nbformat
import papermill
import pytest
import verdicts
import yaml

import asgd_lib
from asgd_lib.results import load_verdicts

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = sorted((ROOT / "asgd_lib").rglob("*.py"))

# Who may know whom (DESIGN.md, Layers): only names further up. A new module has to be given its place here.
LAYERS = [
    {"rng", "trace", "clusters", "partition", "data", "provenance", "checks", "atomic", "parameters", "shortcuts", "spelling"}
    | {"interruption", "fingerprint", "arguments", "cache", "journal", "inference", "final_models", "target", "locks"},
    {"rules", "policies", "stopping", "problems", "wavefront"},
    {"methods", "user_method", "history", "dispatch", "transfers", "batch"},
    {"simulator", "replayer", "distributed"},
    {"sweep", "critical", "virtual", "specs", "adaptive", "conformance"},
    {"theory", "agreement", "intervals", "claims", "verdicts", "plots", "results", "tuning"},
    {"serve", "comparison"},
    {"commands"},
    {"cli", "__main__"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
SIDEWAYS = {0, 1, 2, 5}  # layers whose modules may import each other, without cycles


def imports(path: Path, only_types: bool = True) -> set[str]:
    """The parts of asgd_lib (first name below it) that a module imports, wherever in the file.

    With `only_types=False` without those that only type checkers see: those cannot close a cycle.
    """
    found = set()
    tree = ast.parse(path.read_text())
    if not only_types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import hides its layer; write asgd_lib. in full"
            full = [node.module] if node.module != "asgd_lib" else [f"asgd_lib.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in full if name.startswith("asgd_lib.")}
    return found


def parts(only_types: bool = True) -> dict[str, set[str]]:
    """Part of the library -> the other parts that its modules import; `__init__`, the list of public names, is none."""
    known: dict[str, set[str]] = {}
    for path in MODULES:
        part = path.relative_to(ROOT / "asgd_lib").with_suffix("").parts[0]
        if part != "__init__":
            known.setdefault(part, set()).update(imports(path, only_types) - {part})
    return known


def test_every_module_has_a_layer():
    new = sorted(parts().keys() - LAYER.keys())
    assert not new, f"give these a layer: {new}"


def test_imports_point_one_way():
    for part, needs in parts().items():
        for other in needs & LAYER.keys():
            upper, lower = LAYER.get(part, len(LAYERS)), LAYER[other]
            assert lower < upper or (lower == upper and upper in SIDEWAYS), f"{part} (layer {upper}) imports {other} ({lower})"


def test_what_reads_results_knows_no_engine():
    for part, needs in parts().items():
        if LAYER.get(part) == 5:
            allowed = LAYERS[0] | LAYERS[5] | {"history"}
            assert needs <= allowed, f"{part} imports {sorted(needs - allowed)}"


def test_imports_have_no_cycles():
    needs, done = parts(only_types=False), set()
    while remaining := {part for part in needs if part not in done}:
        ready = {part for part in remaining if needs[part] & needs.keys() <= done}
        assert ready, f"a cycle among {sorted(remaining)}"
        done |= ready


def test_files_are_small_and_named_for_what_they_do():
    long = {path.name: lines for path in MODULES if (lines := len(path.read_text().splitlines())) > 250}
    assert not long, f"over 250 lines: {long}"
    assert not [path for path in tracked() if re.search(r"(^|[/_])utils?(\.|/|_|$)", path)]


def tracked() -> list[str]:
    """Paths of all committed files."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in done.stdout.split("\0") if path and (ROOT / path).is_file()]


def test_no_machine_paths_and_no_package_indexes_in_committed_files():
    words = [re.escape(f"{ROOT}/"), r"(?<![\w.~])/(home|root|Users|opt|work)/\w"]
    words += ["index-" + "url", "--find-" + r"links +[^$]", r"//[^ ]+/sim" + r"ple\b", "files.python" + "hosted", "pypi" + r"\.org/s"]
    forbidden = re.compile("|".join(words))
    for path in tracked():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content:
            found = forbidden.search(content.decode())
            assert not found, f"{path} has {found.group()!r}"


def test_readme_shows_the_committed_verdicts():
    for name, text in verdicts.current().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, "run: make verdicts"


def test_readme_table_needs_its_two_markers():
    text = f"a\n{verdicts.BEGIN}\nold\n{verdicts.END}\nb\n"
    assert verdicts.with_table(text, "new\n") == f"a\n{verdicts.BEGIN}\nnew\n{verdicts.END}\nb\n"
    for broken in ("", text.replace(verdicts.END, ""), text + text, f"{verdicts.END}{verdicts.BEGIN}"):
        with pytest.raises(ValueError, match="README.md must have"):
            verdicts.with_table(broken, "new\n")


def test_version_is_the_same_everywhere():
    versions = [yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"], asgd_lib.__version__]
    assert {tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]} == set(versions)


def test_verdicts_and_parameter_files_belong_to_notebooks():
    names = {path.stem for path in NOTEBOOKS}
    extra = [*(ROOT / "notebooks" / "verdicts").glob("*.json"), *(ROOT / "notebooks" / "params").glob("*")]
    assert {path.stem for path in extra} <= names


def test_a_label_names_one_claim_of_one_notebook():
    """Whoever reports a wrong number writes `D13` and no more (CONTRIBUTING.md)."""
    labels = {run["notebook"]: [verdict["id"] for verdict in run["verdicts"]] for run in load_verdicts(ROOT / "notebooks")}
    seen = Counter(label for listed in labels.values() for label in listed)
    assert not [label for label in seen if not re.fullmatch("[A-Z][1-9][0-9]?", label)], "a letter and a number"
    assert not [label for label, count in seen.items() if count > 1], "one label, one claim"
    letters = {notebook: {label[0] for label in listed} for notebook, listed in labels.items()}
    assert len({letter for used in letters.values() for letter in used}) == len(labels), f"one letter a notebook: {letters}"


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def parameters_cell(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1, "one cell has the tag parameters"
    return tagged[0]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path) -> nbformat.NotebookNode:
    return nbformat.read(path, 4)


def test_parameters_are_typed_literals_with_a_comment(notebook):
    source = parameters_cell(notebook).source
    lines, statements = source.splitlines(), ast.parse(source).body
    assert statements
    for statement in statements:
        assert isinstance(statement, ast.AnnAssign) and statement.value is not None, f"line {statement.lineno}: name: type = value"
        ast.literal_eval(statement.value)  # papermill injects after this cell: anything computed would use the default
        assert "#" in lines[statement.end_lineno - 1][statement.end_col_offset :], f"{statement.target.id}: what is it, in what unit?"


def test_papermill_lists_every_parameter(path, notebook):
    """Its `--help-notebook`, from which `run_notebook.py` knows the names, skips a line with two signs of equality."""
    names = [statement.target.id for statement in ast.parse(parameters_cell(notebook).source).body]
    assert list(papermill.inspect_notebook(str(path))) == names


def test_full_size_parameters_exist_in_the_notebook(path, notebook):
    values = path.parent / "params" / f"{path.stem}.yaml"
    if values.exists():
        known = {statement.target.id for statement in ast.parse(parameters_cell(notebook).source).body}
        assert set(yaml.safe_load(values.read_text())) <= known


def test_code_cells_are_short_and_surrounded_by_prose(notebook):
    lines = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    assert max(lines) <= 25
    assert words / sum(lines) >= 6, f"{words} words of prose on {sum(lines)} lines of code"


def test_notebook_is_committed_as_it_ran(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), f"run it from top to bottom; the counts are {counts}"
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"], "a committed warning"
    assert "papermill" not in notebook.metadata
    assert not [cell for cell in notebook.cells if {"papermill", "execution"} & set(cell.metadata)]


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.name[0].isdigit()], ids=lambda path: path.stem)
def test_every_section_is_there_and_every_claim_is_argued(path):
    prose = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "markdown")
    sections = [int(number) for number in re.findall(r"^## (\d+)\.", prose, re.MULTILINE)]
    assert sections == list(range(1, len(sections) + 1))
    text = "\n".join(line for line in prose.splitlines() if not line.startswith("|"))
    spans = [(m[1], range(int(m[2]), int(m[3]) + 1)) for m in re.finditer(r"\b([A-Z])(\d+) to \1?(\d+)\b", text)]
    argued = set(re.findall(r"\b[A-Z]\d+\b", text)) | {f"{letter}{number}" for letter, numbers in spans for number in numbers}
    judged = json.loads((path.parent / "verdicts" / f"{path.stem}.json").read_text("utf-8"))["verdicts"]
    assert {verdict["id"] for verdict in judged} <= argued
