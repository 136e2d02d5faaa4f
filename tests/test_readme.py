"""README.md: under 200 lines, and whatever it tells a reader to type does what it says."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import readme

from asgd_lib import METHODS, Trace, clusters, partition, problems

RUNNERS = {"make", "source", "papermill", "asgd", "export", "torchrun", "srun"}  # one test each; `export` is part of the last two
SECONDS = 300
COLUMNS = 101  # of code that a page of README.md shows
BITS = """
import torch
assert torch.equal(again.attrs["x"][0], served.x), "a replay of the real run gives another model"
assert len(others) and not table["status"].ne("done").any()
"""


def shell(command: str, folder: Path, **more: str) -> subprocess.CompletedProcess:
    """Run one command of README.md as a reader's shell would."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=readme.environment(**more), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return done


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def folder(tmp_path) -> Path:
    return readme.clone(tmp_path)


def test_it_is_short():
    assert len(readme.TEXT.splitlines()) < 200
    wide = [line for block in readme.blocks() for line in block.text.splitlines() if len(line) > COLUMNS]
    assert not wide, "a reader has to scroll to see the end of these"


def test_every_block_is_tried_by_a_test_below():
    assert {block.language for block in readme.blocks()} == {"python", "sh"}, "a fenced block says what it is"
    assert readme.TEXT.count("```") == 2 * len(readme.blocks())
    assert {readme.named(command) for command in readme.commands()} <= RUNNERS, "a command that no test knows: write one"


def test_blocks_and_commands_are_found():
    text = "a\n```sh\n# no\nmake x  # yes\nsrun a \\\n  b\n```\n```python\n1\n```\n"
    assert [(block.language, block.line) for block in readme.blocks(text)] == [("sh", 2), ("python", 8)]
    assert readme.commands(text) == ["make x  # yes", "srun a    b"] and readme.named("make x  # yes") == "make"


@pytest.mark.slow
def test_python_blocks_run_in_their_order(folder):
    """All in one script, so that a later one may use what an earlier one made; warnings are errors."""
    script = folder / "minute.py"
    script.write_text("\n".join(block.text for block in readme.blocks() if block.language == "python") + BITS, encoding="utf-8")
    done = shell(f"python {script.name}", folder)
    assert "edge" in done.stdout and done.stderr == ""
    assert "True" not in done.stdout, "a best step size at the edge of its grid, in the first example that a reader sees"
    assert Trace.load(folder / "runs" / "real" / "trace.npz").n == 4 and list((folder / "results" / "cache").iterdir())


def test_targets_of_make_exist():
    known = re.findall(r"^([a-z-]+):.*##", (readme.ROOT / "Makefile").read_text(), re.MULTILINE)
    inline = re.findall(r"`(make [^`]+)`", readme.TEXT)
    assert len(inline) > 2
    for command in [*readme.of("make"), *inline]:
        words = shlex.split(command, comments=True)
        targets = [word for word in words[1:] if "=" not in word]
        assert targets and set(targets) <= set(known), command
        done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=readme.ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_options_of_make_data_are_options_of_the_program():
    options = re.findall(r'`make data ARGS="([^"]+)"`', readme.TEXT)[0].split()
    done = subprocess.run([sys.executable, "-m", "asgd_lib.data", "--help"], capture_output=True, text=True, check=True)
    assert [option for option in options if option not in done.stdout] == []


def test_environment_can_be_sourced_where_the_readme_says():
    assert (Path(sys.prefix) / "bin" / "activate").is_file()
    assert readme.of("source") == ["source .venv/bin/activate"]


@pytest.mark.slow
def test_papermill_lines_with_their_very_parameters(folder):
    """The notebook up to the cell that checks them: a whole run takes minutes, and differs from one of make figures by them alone."""
    lines = readme.of("papermill")
    help_lines = [line for line in lines if "--help-notebook" in line]
    for line in help_lines:
        assert "n_workers: int (default 10)" in shell(line, folder).stdout
    lines = [line for line in lines if line not in help_lines]
    assert help_lines and lines
    (folder / "notebooks").unlink()
    (folder / "notebooks").mkdir()
    for line in lines:
        source, target, *given = shlex.split(line)[1:]
        notebook = nbformat.read(readme.ROOT / source, 4)
        setup = next(i for i, cell in enumerate(notebook.cells) if "check_parameters" in cell.source)
        notebook.cells = notebook.cells[: setup + 1]
        nbformat.write(notebook, folder / source)
        shell(line, folder, JUPYTER_PATH=str(Path(sys.prefix) / "share" / "jupyter"), PYTHONWARNINGS="default")
        cells = nbformat.read(folder / target, 4).cells
        injected = next(cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", []))
        assert given[::3] == ["-p"] * (len(given) // 3)
        for name, value in zip(given[1::3], given[2::3], strict=True):
            assert f"{name} = {value}" in injected


@pytest.mark.slow
def test_asgd_lines_run_in_their_order(folder):
    printed = {line: shell(line, folder) for line in readme.of("asgd")}
    for line, done in printed.items():
        assert done.stdout.strip(), line
        assert "Traceback" not in done.stderr and "warning" not in done.stderr.lower(), f"{line}: {done.stderr}"


@pytest.mark.slow
def test_the_method_of_ones_own_conforms(folder):
    """The rule in README.md, saved under the name that the line below it gives."""
    path, name = re.search(r"make compare METHOD=(\w+\.py):(\w+)", readme.TEXT).groups()
    [block] = [block for block in readme.blocks() if f"class {name}" in block.text]
    (folder / path).write_text(block.text, encoding="utf-8")
    shell(f"asgd check {path}:{name} --no-processes", folder)


def launched(command: str, ports: dict[str, int]) -> str:
    """The command, with addresses of this machine for those of its example."""
    for given, port in ports.items():
        assert given in command
        command = command.replace(given, str(port))
    return command.replace("10.0.0.1", "127.0.0.1")


def run_words() -> str:
    """The line that the commands below it share, shorter by as many arrivals as a test has no time for."""
    line = readme.of("export")[0]
    assert "--arrivals 2000" in line
    return line.replace("--arrivals 2000", "--arrivals 200")


def served(folder: Path, workers: int) -> None:
    trace = Trace.load(folder / "runs" / "cluster" / "trace.npz")
    assert (trace.n, len(trace)) == (workers, 200)


@pytest.mark.slow
def test_torchrun_on_one_host(folder):
    line = next(line for line in readme.of("torchrun") if "--nnodes" not in line)
    done = shell(f"{run_words()}\n{line}", folder, PYTHONWARNINGS="default")
    served(folder, workers=int(re.search(r"--nproc-per-node (\d+)", line)[1]) - 1)
    assert "arrivals/s" in done.stdout and "arning" not in done.stderr, done.stderr


@pytest.mark.slow
def test_torchrun_on_two_hosts(folder):
    """Both on this machine: two agents that meet at an address of loopback."""
    line = launched(next(line for line in readme.of("torchrun") if "--nnodes" in line), {"29500": free_port()})
    assert "--nnodes 2" in line and "--node-rank 0" in line
    both = f"{run_words()}\n{line.replace('--node-rank 0', '--node-rank 1')} &\n{line} && wait $!"
    shell(both, folder, PYTHONWARNINGS="default")
    served(folder, workers=2 * int(re.search(r"--nproc-per-node (\d+)", line)[1]) - 1)


@pytest.mark.slow
def test_srun_line_says_who_is_who(folder, tmp_path_factory):
    """A stand-in for Slurm starts the tasks with the variables that Slurm sets; the shell's quotes and the line's variables are real."""
    programs = tmp_path_factory.mktemp("slurm")
    stubs = {"srun": SRUN, "scontrol": SCONTROL}
    for name, text in stubs.items():
        (programs / name).write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        (programs / name).chmod(0o755)
    line = launched(readme.of("srun")[0], {"29500": free_port()})
    path = f"{programs}:{readme.environment()['PATH']}"
    shell(f"{run_words()}\n{line}", folder, PATH=path, PYTHONWARNINGS="default")
    served(folder, workers=int(re.search(r"--ntasks (\d+)", line)[1]) - 1)
    asked = json.loads((folder / "srun.json").read_text())
    assert "--kill-on-bad-exit=0" in asked


SRUN = """
import json, os, subprocess, sys
words = sys.argv[1:]
number = int(words[words.index("--ntasks") + 1])
first = next(i for i, word in enumerate(words) if not word.startswith("-") and words[i - 1] != "--ntasks")
open("srun.json", "w").write(json.dumps(words[:first]))
names = {"SLURM_NTASKS": str(number), "SLURM_JOB_NODELIST": "node[1-2]"}
tasks = [subprocess.Popen(words[first:], env=os.environ | names | {"SLURM_PROCID": str(i)}) for i in range(number)]
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = """
import sys
assert sys.argv[1:] == ["show", "hostnames", "node[1-2]"], sys.argv
print("127.0.0.1", "node2", sep="\\n")
"""


def test_table_of_methods_is_the_table_of_methods():
    rows = readme.TEXT[readme.TEXT.index("| methods | |") :].split("\n\n")[0].splitlines()[2:]
    shown: dict[str, dict[str, str]] = {}
    for cell in (row.split("|")[1] for row in rows):
        for name, given in re.findall(r"`(\w+)(?:\(([^)]*)\))?`", cell):
            pairs = (word.strip().partition("=") for word in given.split(",") if word.strip())
            shown.setdefault(name, {}).update({key: value for key, _, value in pairs})
    assert shown.keys() == set(METHODS)
    for name, hyperparameters in shown.items():
        known = inspect.signature(METHODS[name].rule).parameters
        assert hyperparameters.keys() <= known.keys(), name
        wrong = {key: value for key, value in hyperparameters.items() if value and known[key].default != ast.literal_eval(value)}
        assert not wrong, f"{name}: {wrong}"


def test_names_of_clusters_problems_and_partitions_exist():
    line = readme.TEXT[readme.TEXT.index("Clusters: `") :].split("\n\n")[0]
    kinds = zip(re.split(r"Problems:|Partitions:", line), (clusters, problems, partition), strict=True)
    for text, module in kinds:
        names = [name for group in re.findall(r"`([\w, ]+)`", text) for name in group.split(", ")]
        assert names and [name for name in names if not hasattr(module, name)] == []
