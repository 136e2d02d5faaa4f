"""Run the notebooks, as many at once as there are cores, into results/quick or results/full.

One line on stdout for each event. A notebook that fails does not stop the others, but makes the exit code 1. While a notebook measures
clocks (`asgd_lib.distributed.quiet`) the kernels of the others stand still.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from notebook_kernel import NOTEBOOKS, ROOT, SECONDS, asked, cores, environment
from standstill import Standstill

from asgd_lib.distributed import quiet
from asgd_lib.locks import alone


@dataclass
class Run:
    """One notebook under way: where it is and goes to, its process, when it began (seconds, monotonic), its stderr, where it asks."""

    notebook: Path
    results: Path
    process: subprocess.Popen
    began: float
    log: Path
    desk: Path

    @property
    def asks(self) -> bool:
        """Whether it waits until it may measure, or measures."""
        return (self.desk / quiet.ASKED).exists()

    @property
    def measures(self) -> bool:
        """Whether it has the machine to itself."""
        return (self.desk / quiet.GRANTED).exists()

    @property
    def can_stand_still(self) -> bool:
        """Whether others may measure beside it."""
        return self.asks or ((self.desk / quiet.STARTED).exists() and not (self.desk / quiet.AWAKE).exists())


def longest_first(notebooks: list[Path]) -> list[Path]:
    """The order that keeps all cores busy longest, by the seconds noted at the last `make accept`; new ones first."""
    seconds = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
    return sorted(notebooks, key=lambda path: -seconds.get(path.stem, float("inf")))


def values(notebook: Path) -> Path:
    """The YAML file with a notebook's parameters at full size."""
    return NOTEBOOKS / "params" / f"{notebook.stem}.yaml"


def up_to_date(notebook: Path, target: Path) -> bool:
    """Whether `target` is newer than all that it depends on: notebook, parameters and library."""
    needs = [notebook, values(notebook), *(ROOT / "asgd_lib").rglob("*.py")]
    return target.exists() and target.stat().st_mtime > max(path.stat().st_mtime for path in needs if path.exists())


def start(notebook: Path, preset: str, results: Path, scratch: Path) -> Run:
    """Start a process that executes `notebook` into `results`."""
    command = [sys.executable, str(ROOT / "scripts" / "run_notebook.py"), str(notebook), str(results / notebook.name)]
    if preset == "full" and values(notebook).exists():
        command += ["--parameters", str(values(notebook))]
    log = scratch / f"{notebook.stem}.log"
    desk = scratch / f"{notebook.stem}.desk"
    desk.mkdir()
    (desk / quiet.ANSWERS).write_text(str(os.getpid()))
    env = environment(results) | {"JUPYTER_RUNTIME_DIR": str(scratch), "TMPDIR": str(scratch), quiet.FOLDER: str(desk)}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            env=env,
            start_new_session=True,
        )
    return Run(notebook, results, process, time.monotonic(), log, desk)


def answer(running: list[Run], still: Standstill) -> None:
    """Where nobody measures let all go on, or give the machine to the first that asks for it, if the others can stand still."""
    if any(run.measures for run in running):
        return
    still.end()
    asking = [run for run in running if run.asks]
    if asking and all(run.can_stand_still for run in running):
        still.begin([run.process.pid for run in running if not run.asks])
        (asking[0].desk / quiet.GRANTED).touch()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put Ctrl-C, a second one too, off to the end of a block that it would leave with processes that nobody knows of."""
    came = []
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *what: came.append(what)) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def stop(runs: list[Run]) -> None:
    """End all runs with their kernels and what those started: first a request, after three seconds by force."""
    family = []
    for run in runs:
        try:
            family += [psutil.Process(run.process.pid), *psutil.Process(run.process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    for run in runs:
        run.process.terminate()
    for process in psutil.wait_procs(family, timeout=3)[1]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    for run in runs:
        run.process.communicate()
    for results in {run.results for run in runs}:
        clear(results)


def clear(results: Path) -> None:
    """Remove what processes that ended by force have half written; nobody else may be writing there."""
    places = (results, results / "figures", results / "verdicts")
    for leftover in [path for place in places for kind in ("ipynb", "png", "pdf", "json") for path in place.glob(f".*.*.{kind}")]:
        leftover.unlink(missing_ok=True)


def run_all(waiting: list[Path], preset: str, results: Path, jobs: int) -> list[str]:
    """Run the notebooks in `waiting`, `jobs` at a time; the names of those that failed."""
    failed, finished, total, still = [], 0, len(waiting), Standstill()
    waiting = list(waiting)
    running: list[Run] = []
    clear(results)
    with tempfile.TemporaryDirectory(prefix="asgd-") as scratch:
        try:
            while waiting or running:
                while waiting and len(running) < jobs and not any(run.measures for run in running):
                    with undisturbed():
                        run = start(waiting.pop(0), preset, results, Path(scratch))
                        running.append(run)
                    say(finished, total, f"{run.notebook.stem} started")
                time.sleep(0.05)
                answer(running, still)
                for run in [run for run in running if run.process.poll() is not None]:
                    running.remove(run)
                    finished += 1
                    seconds = time.monotonic() - run.began
                    told = run.process.communicate()[0].strip()
                    if run.process.returncode == 0:
                        say(finished, total, f"{run.notebook.stem} finished in {seconds:.1f} s{found(run.notebook, results)}")
                    else:
                        failed.append(run.notebook.stem)
                        say(finished, total, f"{run.notebook.stem} FAILED after {seconds:.1f} s: {told or last_lines(run)}")
        finally:
            with undisturbed():
                still.end()
                stop(running)
    return failed


def found(notebook: Path, results: Path) -> str:
    """How the notebook's claims were judged in its last run, in a few words."""
    path = results / "verdicts" / f"{notebook.stem}.json"
    if not path.exists():
        return ""
    counts = Counter(verdict["verdict"] for verdict in json.loads(path.read_text(encoding="utf-8"))["verdicts"])
    return ": " + ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common())


def last_lines(run: Run) -> str:
    """What a process that died without a word left on its stderr."""
    lines = run.log.read_text("utf-8", "replace").strip().splitlines()[-5:]
    return "\n".join([f"its process ended with code {run.process.returncode}.", *lines])


def say(finished: int, total: int, event: str) -> None:
    print(f"[{finished}/{total}] {event}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=["quick", "full"], default="quick")
    parser.add_argument("--jobs", type=int, default=cores(), help="notebooks at once")
    sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII alone
    given, notebooks = asked(parser)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = ROOT / "results" / given.preset
    (results / "verdicts").mkdir(parents=True, exist_ok=True)
    if given.preset == "full":
        for path in [path for path in notebooks if up_to_date(path, results / path.name)]:
            print(f"{path.stem} is up to date")
            notebooks.remove(path)
        if not notebooks:
            return 0
    began = time.monotonic()
    total = len(notebooks)
    try:
        with alone(results):
            failed = run_all(longest_first(notebooks), given.preset, results, given.jobs)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; finished notebooks are kept, unfinished ones left nothing behind.", file=sys.stderr)
        return 130
    where = f"in {time.monotonic() - began:.0f} s; {results.relative_to(ROOT)} has them, figures/ and verdicts/"
    if failed:
        print(f"{len(failed)} of {total} notebooks failed ({', '.join(failed)}) {where}")
        return 1
    print(f"{total} notebook{'s' * (total > 1)} ran {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
