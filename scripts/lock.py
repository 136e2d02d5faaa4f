"""Write requirements.lock: exact versions of everything but torch, for every platform, without addresses or hashes.

torch is installed in a second step (its build depends on the machine: CPU or CUDA), so the lock lists torch's own
pure-Python needs instead. Needs uv, which is no part of the environment: `pip install uv`.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNLOCKED = {"dask", "ray"}  # extras that the environment does without
TORCH_NEEDS = ["filelock", "fsspec", "jinja2", "networkx", "setuptools>=77", "sympy", "typing-extensions"]


def wanted(pyproject: Path) -> list[str]:
    """Every direct requirement of the library and its locked extras but torch, plus torch's pure-Python needs."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = project["optional-dependencies"]
    lists = [project["dependencies"], *(extras[name] for name in extras.keys() - UNLOCKED)]
    direct = {line for lines in lists for line in lines if not line.startswith("torch==")}
    return sorted(direct) + TORCH_NEEDS


def main() -> int:
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "-", "--universal", "--python-version", "3.11", "--quiet"),
        *("--no-annotate", "--custom-compile-command", "make lock"),
    ]
    listing = "\n".join(wanted(ROOT / "pyproject.toml"))
    done = subprocess.run(command + sys.argv[1:], input=listing, text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        print("requirements.lock is unchanged: uv could not resolve (is it installed? `pip install uv`).", file=sys.stderr)
        return done.returncode
    temporary = ROOT / ".requirements.lock.new"
    temporary.write_text(done.stdout)
    temporary.replace(ROOT / "requirements.lock")
    return 0


if __name__ == "__main__":
    sys.exit(main())
