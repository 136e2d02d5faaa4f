"""How fast: replay against the plain event loop and the gradients alone, sweeps, simulation, the cost of DuDe, memory.

    python scripts/bench.py [--threads 2] [--repeats 5] [--scale 1.0] [--out benchmarks/bench.json]

All contenders do the same work in turns within one run, so that ratios carry over to other machines; times are minima over the repeats.
Both sides may use all threads; on one thread processor time is measured, which other work on the machine disturbs less.
`scripts/bench_report.py` turns the numbers into BENCHMARKS.md and a figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from contenders import LR, WORKLOADS, calls, cluster, gradients_alone, plain_loop, replayed, unevaluated, workload

import asgd_lib as asgd
from asgd_lib.atomic import atomic_path
from asgd_lib.sweep import sweep, variants

ROOT = Path(__file__).resolve().parents[1]
ARRIVALS = dict(zip(WORKLOADS, (20_000, 20_000, 10_000, 8000, 3000), strict=True))
JOBS = (8, 32, 64)  # jobs a call: the best of these and of replay's own calls is the gradients' limit
GRIDS = {"quadratic d=100, noisy": 16, "softmax, digits": 16}  # step sizes, and as many seeds


def seconds(work: Callable[[], object]) -> float:
    """Wall time, or on one thread the processor's: that of a busy machine's other work is none of ours."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def in_turns(contenders: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least seconds of each, measured one after the other, `repeats` times."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(repeats):
        for name, work in contenders.items():
            best[name] = min(best[name], seconds(work))
    return best


class Replay:
    """One workload: microseconds an arrival of the plain loop, of replay, and of the gradients in the best and in replay's calls."""

    def __init__(self, name: str, n: int, scale: float):
        self.name, self.n, self.E = name, n, max(200, int(ARRIVALS[name] * scale * (1.0 if n == 100 else 0.5)))
        problem, module = workload(name, n)
        self.sizes = calls(problem, n, self.E)
        cuts = {"own": self.sizes} | {str(jobs): [min(jobs, self.E - first) for first in range(0, self.E, jobs)] for jobs in JOBS}
        self.contenders = {
            "plain": partial(plain_loop, problem, module, n, self.E),
            "replay": partial(replayed, unevaluated(problem), n, self.E),
            "steps own": partial(gradients_alone, problem, n, self.sizes, steps=True),
        } | {f"gradients {cut}": partial(gradients_alone, problem, n, sizes) for cut, sizes in cuts.items()}
        self.best = dict.fromkeys(self.contenders, float("inf"))

    def measure(self) -> None:
        """Let each contender run once more."""
        for who, t in in_turns(self.contenders, 1).items():
            self.best[who] = min(self.best[who], 1e6 * t / self.E)

    def row(self) -> dict:
        plain, replay, own, steps = (self.best[who] for who in ("plain", "replay", "gradients own", "steps own"))
        limit = min(us for who, us in self.best.items() if who.startswith("gradients"))
        print(f"  {self.name:24} n={self.n:<5} plain {plain:7.1f} us   replay {replay:7.1f} us   {plain / replay:5.1f}x"
              f"   gradients {limit:6.1f} us, {limit / replay:4.0%}"
              f"   in calls of {self.E / len(self.sizes):.0f}: {own:6.1f} us, with steps {steps:6.1f} us", flush=True)  # fmt: skip
        return {"workload": self.name, "n": self.n, "plain_us": plain, "replay_us": replay, "limit_us": limit,
                "call": self.E / len(self.sizes), "own_us": own, "steps_us": steps}  # fmt: skip


def replay_rows(scale: float, repeats: int) -> list[dict]:
    """All workloads, `repeats` passes through them: a machine may be slow for a minute, and a pass takes longer."""
    rows = [Replay(name, n, scale) for n in (100, 1000) for name in WORKLOADS]
    for done in range(repeats):
        for row in rows:
            row.measure()
        print(f"  pass {done + 1} of {repeats}", flush=True)
    return [row.row() for row in rows]


def sweep_row(name: str, scale: float, jobs: int) -> dict:
    """A grid of step sizes x seeds: microseconds an arrival of one run, in the sweep, one by one, and in the plain loop."""
    problem, module = workload(name, 100)
    E = max(200, int(2000 * scale))
    side = GRIDS[name]
    methods = variants("asgd", lr=[LR * 1.2**i for i in range(side)])
    times = in_turns(
        {
            "plain": lambda: plain_loop(problem, module, 100, E),
            "one": lambda: replayed(problem, 100, E),
            "sweep": lambda: sweep(methods, cluster(100), problem, arrivals=E, seeds=range(side), every=E, jobs=jobs),
        },
        2,
    )
    times["sweep"] /= side**2
    row = {"workload": name, "runs": side**2} | {f"{who}_us": t / E * 1e6 for who, t in times.items()}
    print(f"  {name:24} plain {row['plain_us']:7.1f} us   one by one {row['one_us']:7.1f} us   sweep {row['sweep_us']:6.2f} us", flush=True)
    return row


def dude_rows(scale: float, repeats: int) -> list[dict]:
    """Microseconds an arrival of ASGD, of ASGD that keeps rows as DuDe does, and of DuDe on the MLP (d = 101,770) as n grows.

    DuDe's first step waits for the slowest worker, so the workers are nearly even and the run is eight times as long as that takes.
    """
    rows = []
    for n in (10, 100, 1000):
        problem = unevaluated(workload("MLP 784-128-10", n)[0])
        E = max(8 * n, int(3000 * scale))
        best = in_turns({name: partial(replayed, problem, n, E, name, sigma=0.1) for name in ("asgd", "kept", "dude")}, repeats)
        row = {f"{name}_us": t / E * 1e6 for name, t in best.items()}
        rows.append({"n": n} | row)
        print(f"  n={n:<5} ASGD {row['asgd_us']:7.1f} us   rows kept {row['kept_us']:7.1f} us   DuDe {row['dude_us']:7.1f} us"
              f"   {row['dude_us'] / row['asgd_us']:.2f}x", flush=True)  # fmt: skip
    return rows


def simulate_rows(scale: float) -> list[dict]:
    rows, method = [], asgd.METHODS["asgd"](lr=LR)
    for n in (100, 1000, 10_000):
        arrivals = int(1_000_000 * scale)
        t = seconds(lambda n=n, arrivals=arrivals: asgd.simulate(cluster(n), method, arrivals=arrivals))
        rows.append({"n": n, "arrivals": arrivals, "seconds": t})
        print(f"  n={n:<6} {arrivals:,} arrivals in {t:.1f} s", flush=True)
    return rows


def memory_rows(scale: float) -> list[dict]:
    """Peak memory (MB) at n = 1,000, each contender in a process of its own, on 60,000 samples."""
    rows, threads = [], os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    for name in ("softmax 784-10", "MLP 784-128-10"):
        row = {"workload": name, "n": 1000}
        for who in ("plain", "replay"):
            command = [sys.executable, str(ROOT / "scripts/contenders.py"), who, name, "1000", str(max(1500, int(3000 * scale)))]
            row[f"{who}_mb"] = float(subprocess.run(command, check=True, capture_output=True, text=True, env=threads).stdout)
        rows.append(row)
        print(f"  {name:24} plain {row['plain_mb']:,.0f} MB   replay {row['replay_mb']:,.0f} MB", flush=True)
    return rows


def import_rows(repeats: int) -> list[dict]:
    """Processor seconds of the import, and of all that the three verbs need (torch), where torchvision cannot be imported."""
    script = "import sys, time; sys.modules['torchvision'] = None; t = time.process_time(); {}; print(time.process_time() - t)"
    names = {"import asgd_lib": "import asgd_lib", "simulate, replay and sweep": "import asgd_lib as a; a.simulate, a.replay, a.sweep"}
    rows = []
    for what, code in names.items():
        run = partial(subprocess.run, [sys.executable, "-c", script.format(code)], check=True, capture_output=True, text=True)
        rows.append({"what": what, "seconds": min(float(run().stdout) for _ in range(repeats))})
        print(f"  {what:28} {rows[-1]['seconds']:.3f} s", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1: fewer arrivals")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "bench.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result: dict = {"threads": options.threads, "cores": os.cpu_count(), "torch": torch.__version__}
    print("Replay (microseconds an arrival)")
    result["replay"] = replay_rows(options.scale, options.repeats)
    print("Sweep of step sizes x seeds (microseconds an arrival and run)")
    result["sweep"] = [sweep_row(name, options.scale, options.threads) for name in GRIDS]
    print("DuDe on the MLP (microseconds an arrival)")
    result["dude"] = dude_rows(options.scale, options.repeats)
    print("simulate")
    result["simulate"] = simulate_rows(options.scale)
    print("Peak memory at n = 1,000")
    result["memory"] = memory_rows(options.scale)
    print("Imports")
    result["imports"] = import_rows(options.repeats)
    with atomic_path(options.out) as path:
        path.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
