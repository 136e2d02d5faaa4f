"""Other simulators on the same work, each in an environment of its own, in turns with the plain loop and with replay.

    python scripts/bench_peers.py [--updates 2000] [--repeats 3] [--only NAME ...] [--out benchmarks/peers.json]

Environments are made under `.venv-peers`, with whatever package index pip is set to; a peer that cannot be installed or does not run is
written down with the reason, and the others are measured. What the work is: `scripts/peers/task.py`. One thread each, and the same number
of updates for all: peers compute a gradient when its job begins, so that those of the n jobs under way at the end cost them n gradients in
excess of the updates (5 % at 2000), and us none. Imports and set-up are outside the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from asgd_lib.atomic import atomic_path

ROOT = Path(__file__).resolve().parents[1]
PEERS = {"FLGo": "flgo==0.4.4", "APPFL": "appfl==1.12.0"}
MODELS = ("softmax 784-10", "MLP 784-128-10")
N = 100


def torch_requirement() -> str:
    """The torch that the project itself names."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return next(line for line in dependencies if line.startswith("torch=="))


def last_sentence(text: str) -> str:
    """The error that a failed process ended with, in one line without addresses."""
    lines = [line.strip() for line in text.splitlines() if re.match(r"\s*(ERROR|error|[A-Za-z_.]*(Error|Exception)|No module)\b", line)]
    lines = lines or [line.strip() for line in text.splitlines() if line.strip()] or ["no word of why"]
    return re.sub(r"\S*/\S+", "...", lines[-1])[:160].replace("|", "/")


def environment(name: str, folder: Path, requirement: str) -> str | None:
    """Make the peer's environment if it is not there; the reason if that fails."""
    if (folder / ".complete").exists():
        return None
    install = [str(folder / "bin/python"), "-m", "pip", "install", "-q", torch_requirement(), requirement]
    steps = [[sys.executable, "-m", "venv", "--clear", str(folder)], install]
    for step in steps:
        print(f"  {name}: {' '.join(Path(word).name for word in step)}", flush=True)
        done = subprocess.run(step, capture_output=True, text=True, env=clean())
        if done.returncode:
            return f"cannot be installed: {last_sentence(done.stderr)}"
    (folder / ".complete").touch()
    return None


def clean() -> dict[str, str]:
    """The environment variables of a process that must see none of ours, and use one thread."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")} | one | {"PYTHONNOUSERSITE": "1"}


def run(python: Path | str, script: str, model: str, updates: int, env: dict[str, str], timeout: float = 300.0) -> dict | str:
    """What one contender says in a process of its own, or why it does not."""
    command = [str(python), str(ROOT / "scripts/peers" / script), model, str(N), str(updates)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"was not done after {timeout:.0f} s"
    if done.returncode:
        return f"does not run: {last_sentence(done.stderr)}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(model: str, pythons: dict[str, Path], updates: int, repeats: int, reasons: dict[str, str]) -> list[dict]:
    """Microseconds an update of every contender, the least of the repeats, measured in turns."""
    ours = os.environ | clean() | {"PYTHONPATH": str(ROOT)}
    contenders = {who: (sys.executable, f"with_{who}.py", updates, ours) for who in ("plain", "replay")}
    contenders |= {name: (python, f"with_{name.lower()}.py", updates, clean()) for name, python in pythons.items()}
    best: dict[str, dict] = {}
    for _ in range(repeats):
        for who, (python, script, count, env) in contenders.items():
            if who in reasons:
                continue
            said = run(python, script, model, count, env)
            if isinstance(said, str):
                reasons[who] = said
                continue
            us = 1e6 * said["seconds"] / said["updates"]
            if who not in best or us < best[who]["us"]:
                best[who] = {"workload": model, "who": who, "version": said["version"], "us": us}
    for who in best.keys() - reasons.keys():
        print(f"  {model:16} {who:8} {best[who]['us']:10.1f} us an update", flush=True)
    return [row for who, row in best.items() if who not in reasons]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "peers.json")
    given = parser.parse_args()
    reasons: dict[str, str] = {}
    pythons = {}
    for name in given.only:
        folder = given.environments / name.lower()
        reason = environment(name, folder, PEERS[name])
        if reason:
            reasons[name] = reason
        pythons[name] = folder / "bin/python"
    rows = [row for model in MODELS for row in measure(model, pythons, given.updates, given.repeats, reasons)]
    for who in ("plain", "replay"):
        if who in reasons:
            print(f"Our own {who} side {reasons[who]}; nothing was written.", file=sys.stderr)
            return 1
    for name, reason in reasons.items():
        print(f"  {PEERS[name]} {reason}", flush=True)
    result = {"n": N, "rows": rows, "left_out": {PEERS[name]: reason for name, reason in reasons.items()}}
    with atomic_path(given.out) as path:
        path.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
