"""What strangers expect of a repository: hooks that leave it as it is, workflows that call make, a package without Jupyter."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import accept
import jsonschema
import pytest
import yaml

import asgd_lib

ROOT = Path(__file__).resolve().parents[1]
HOOKS = {hook["id"]: hook for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]}
JUPYTER = ("IPython", "ipykernel", "ipywidgets", "jupyter_core", "jupyter_client", "nbformat", "nbconvert", "papermill", "pytest", "sphinx")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*"))
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def run(*command: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)


def hook(name: str) -> list[str]:
    """A hook's command, by this environment's Python."""
    return [sys.executable if word == ".venv/bin/python" else word for word in shlex.split(HOOKS[name]["entry"])]


def test_hooks_are_valid():
    done = run(sys.executable, "-m", "pre_commit", "validate-config", ROOT / ".pre-commit-config.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_committed_notebooks_pass_the_hooks_unchanged(tmp_path):
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    copies = sorted((tmp_path / "notebooks").glob("[0-9]*.ipynb"))
    before = [path.read_bytes() for path in copies]
    assert run(*hook("nbstripout"), *copies).returncode == 0
    assert [path.name for path, text in zip(copies, before, strict=True) if path.read_bytes() != text] == []
    assert run(*hook("ruff"), "--no-cache", *copies, cwd=tmp_path).returncode == 0
    assert accept.STRIPPED in hook("nbstripout"), "make accept and the hook strip the same"


def test_ruff_hook_reads_notebooks(tmp_path):
    notebook = (ROOT / "notebooks" / "00_start_here.ipynb").read_text().replace("import inspect", "import inspect, ast", 1)
    (tmp_path / "bad.ipynb").write_text(notebook)
    done = run(*hook("ruff"), "--config", ROOT / "pyproject.toml", "--no-cache", tmp_path / "bad.ipynb")
    assert done.returncode == 1 and "bad.ipynb" in done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_targets_that_exist_and_pinned_actions(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    called = [step["run"].split() for step in steps if "run" in step]
    assert called and all(words[0] == "make" and set(words[1:]) <= TARGETS for words in called)
    for words in called:
        assert run("make", "--dry-run", *words[1:], cwd=ROOT).returncode == 0
    used = [step["uses"] for step in steps if "uses" in step]
    assert [name for name in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", name)] == []
    assert all(job.get("timeout-minutes") for job in jobs.values()), "a job that hangs must end"


def test_workflow_lints_tests_and_builds_the_site():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert {"make lint", "make test", "make site"} <= {step.get("run") for job in jobs.values() for step in job["steps"]}


def test_jupyterlab_is_told_in_its_own_words():
    """JupyterLab reads past settings that it does not know; then its question about news would be back."""
    told = json.loads((ROOT / "scripts" / "jupyterlab.json").read_text())
    schemas = Path(sys.prefix) / "share" / "jupyter" / "lab" / "schemas"
    for plugin, values in told.items():
        package, name = plugin.split(":")
        known = json.loads((schemas / package / f"{name}.json").read_text())["properties"]
        for key, value in values.items():
            jsonschema.validate(value, known[key])
    assert told["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_latest_release_in_the_changelog_is_this_version():
    released = re.findall(r"^## \[(\d[^\]]*)\] - (\d{4}-\d{2}-\d{2})$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released and released[0][0] == asgd_lib.__version__


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".github/pull_request_template.md"])
def test_documents_name_targets_and_files_that_exist(name):
    text = (ROOT / name).read_text()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"^make ([^#\n`]*)", text, re.MULTILINE) + re.findall(r"`make ([^`]*)`", text):
        assert {word for word in line.split() if re.fullmatch(r"[a-z-]+", word)} <= TARGETS, line
    paths = re.findall(r"`((?:asgd_lib|scripts|tests|notebooks|docs)/[\w/.-]+)`", prose)
    paths += re.findall(r"\]\(([^)#:]+)\)", prose)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_library_imports_without_jupyter_or_test_tools():
    script = f"""
import importlib, pathlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {JUPYTER!r}:
            raise ModuleNotFoundError(f"{{name}} is not there", name=name)
sys.meta_path.insert(0, Refuse())
paths = [path.with_suffix("") for path in sorted(pathlib.Path("asgd_lib").rglob("*.py")) if path.name != "__main__.py"]
names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    done = run(sys.executable, "-c", script, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 50


def test_extras_are_what_their_names_say():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"].keys() == {"notebooks", "dev", "site", "dask", "ray"}
    names = {re.match(r"[\w-]+", line)[0].replace("-", "_").lower() for line in project["dependencies"]}
    assert not names & {name.lower() for name in (*JUPYTER, "jupyterlab")}


@pytest.mark.slow
def test_wheel_holds_the_library_its_data_and_nothing_else(tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ROOT / "asgd_lib", project / "asgd_lib", ignore=shutil.ignore_patterns("__pycache__"))
    tracked = {path.relative_to(project).as_posix() for path in (project / "asgd_lib").rglob("*") if path.is_file()}
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, project / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", tmp_path)
    done = run(sys.executable, "-m", "pip", "wheel", *options, project)
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} == tracked
