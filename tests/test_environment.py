"""environment.yml, pyproject.toml and requirements.lock say the same, and the first of them makes a working environment."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

import conda_channel
import lock
import pytest
import rattler
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
CONDA_SPECS = [line for line in CONDA["dependencies"] if isinstance(line, str)]
PIP_LINES = next(line["pip"] for line in CONDA["dependencies"] if isinstance(line, dict))
EXTRAS = PROJECT["optional-dependencies"]
LOCKED = (PROJECT["dependencies"], *(EXTRAS[name] for name in EXTRAS.keys() - lock.UNLOCKED))
DIRECT = [Requirement(line) for lines in LOCKED for line in lines]
TORCH = next(requirement for requirement in DIRECT if requirement.name == "torch")


def pinned_here() -> dict[str, str]:
    """What the lock installs on this machine: name -> version."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([specifier.operator for specifier in pin.specifier] == ["=="] and not pin.url for pin in pins)
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in here}


def test_lock_pins_every_direct_dependency_within_its_bounds():
    pinned = pinned_here()
    for requirement in DIRECT:
        if requirement.name != "torch":
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
    assert "torch" not in pinned, "torch is installed in a step of its own: its build depends on the machine"


def test_lock_covers_what_torch_needs():
    needs = [Requirement(line) for line in metadata.requires("torch")]
    needs = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    pure = [need for need in needs if not need.name.startswith(("nvidia", "cuda", "triton"))]
    pinned = pinned_here()
    assert pure
    for need in pure:
        assert need.specifier.contains(pinned[canonicalize_name(need.name)]), need


def test_running_environment_is_the_locked_one():
    wrong = {name: metadata.version(name) for name, version in pinned_here().items() if metadata.version(name) != version}
    assert not wrong, f"These differ from requirements.lock: {wrong}. Run: rm .venv/.stamp; make env"
    assert TORCH.specifier.contains(metadata.version("torch"))


def test_conda_file_agrees_with_pyproject():
    assert "-r requirements.lock" in PIP_LINES and "-e ." in PIP_LINES
    assert [Requirement(line) for line in PIP_LINES if line[0] != "-"] == [TORCH]
    python = next(rattler.MatchSpec(spec) for spec in CONDA_SPECS if spec.startswith("python"))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(str(python.version).strip("=*."))


@pytest.fixture
def roomy_folder():
    """A folder for a gigabyte in 40,000 files, in memory where there is plenty: deleting them on some disks takes minutes."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK):
        state = os.statvfs(memory)
        usable = state.f_bavail * state.f_frsize > 8e9 and not state.f_flag & os.ST_NOEXEC
    else:
        usable = False
    with tempfile.TemporaryDirectory(prefix="asgd-", dir=memory if usable else None) as folder:
        yield Path(folder)


@pytest.mark.slow
def test_conda_file_makes_an_environment_that_imports_the_library(roomy_folder):
    prefix, project = roomy_folder / "prefix", roomy_folder / "project"
    subdir = str(rattler.Subdir.current())
    channel = conda_channel.build(roomy_folder / "channel", subdir)
    asyncio.run(create(prefix, channel, subdir, roomy_folder / "cache"))
    # conda's own way: the pip section becomes a requirements file in the folder of environment.yml.
    for name in ("asgd_lib", "pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, (project / name))
    (project / "condaenv.txt").write_text("\n".join(PIP_LINES) + "\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean |= {"TMPDIR": str(roomy_folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}
    python = str(prefix / "bin" / "python")
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "-r", "condaenv.txt"]
    done = subprocess.run(command, cwd=project, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    script = "import asgd_lib, torch, sys; print(asgd_lib.__file__, torch.__version__, sys.prefix, sep='\\n')"
    shown = subprocess.run([python, "-c", script], cwd=roomy_folder, env=clean, capture_output=True, text=True, check=True)
    library, torch_version, where = shown.stdout.splitlines()
    assert Path(library).is_relative_to(project) and Path(where) == prefix
    assert TORCH.specifier.contains(torch_version)


async def create(prefix: Path, channel: str, subdir: str, cache: Path) -> None:
    """Solve the conda part of environment.yml against `channel` and install it into `prefix`."""
    records = await rattler.solve(
        sources=[channel],
        specs=[rattler.MatchSpec(spec) for spec in CONDA_SPECS],
        platforms=[subdir, "noarch"],
        gateway=rattler.Gateway(cache_dir=cache),
    )
    assert {record.name.normalized for record in records} == {"python", "pip"}
    await rattler.install(records, target_prefix=prefix, cache_dir=cache, show_progress=False)
