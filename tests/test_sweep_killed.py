"""A sweep that is killed again and again, at moments drawn at random, loses what was running and nothing else."""

import random
import time
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
import torch

import asgd_lib as asgd
from asgd_lib.sweep import sweep, variants

SEEDS, KILLS = range(10), 6
TASKS = 2 * len(SEEDS)  # two policies' worth of methods, each seed on a trace of its own


class Noted(asgd.clusters.Exponential):
    """Writes a line whenever a trace is made, which is once a batch of runs."""

    def clock(self, seed):
        with open(self.notes, "a") as notes:
            notes.write("begun\n")
        return super().clock(seed)


def run(folder: str, jobs: int) -> None:
    """The sweep, in a process that will be killed."""
    torch.set_num_threads(1)
    Noted.notes = f"{folder}/notes"
    X, y, *_ = asgd.data.load("digits")
    problem = asgd.problems.Softmax(X, y, asgd.partition.iid(len(y), 20, seed=0))
    methods = variants("asgd", lr=[0.01, 0.02, 0.04]) + variants("ormo", lr=[0.01], momentum=[0.5, 0.9])
    kind = {"cache": f"{folder}/cache", "save": f"{folder}/table.parquet", "own_traces": True, "jobs": jobs}
    sweep(methods, Noted((1.0,) * 20), problem, arrivals=400, seeds=SEEDS, every=50, **kind)


def begun(folder: Path) -> int:
    return len((folder / "notes").read_text().split()) if (folder / "notes").exists() else 0


def saved(folder: Path) -> dict[str, int]:
    """The finished files of the cache, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("cache/[!.]*.parquet")}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_what_was_running_is_lost_and_nothing_else(number, tmp_path):
    context = get_context("forkserver")
    context.set_forkserver_preload(["asgd_lib.sweep", "asgd_lib.data"])
    draw = random.Random(number)
    (tmp_path / "cut").mkdir()
    (tmp_path / "whole").mkdir()
    attempts, killed = 0, 0
    while not (tmp_path / "cut" / "table.parquet").exists():
        first, before = begun(tmp_path / "cut"), saved(tmp_path / "cut")
        process = context.Process(target=run, args=(str(tmp_path / "cut"), 1))
        process.start()
        if attempts < KILLS:
            wanted = first + draw.randint(0, max(1, (TASKS - len(before)) // 3))
            while begun(tmp_path / "cut") < wanted and process.is_alive():
                time.sleep(0.001)
            time.sleep(draw.uniform(0.0, 0.06))
            process.kill()
        process.join()
        attempts, killed = attempts + 1, killed + (process.exitcode == -9)
        after = saved(tmp_path / "cut")
        assert process.exitcode in (0, -9) and before.items() <= after.items()  # what was saved is not computed again
        assert 0 <= begun(tmp_path / "cut") - first - (len(after) - len(before)) <= (process.exitcode != 0)
    assert 2 <= killed <= KILLS and len(saved(tmp_path / "cut")) == TASKS <= begun(tmp_path / "cut") <= TASKS + killed
    run(str(tmp_path / "whole"), 1)
    one, other = (pd.read_parquet(tmp_path / name / "table.parquet") for name in ("cut", "whole"))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert one["run"].nunique() == 5 * len(SEEDS)
