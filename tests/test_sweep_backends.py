"""A sweep that joblib hands to Dask or to Ray: the table of one process, bit by bit. Skipped where they are not installed."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

SWEEP = """
import os
import pandas as pd, torch
from joblib import parallel_config
import asgd_lib as asgd
from asgd_lib.sweep import sweep, variants


class Noted(asgd.clusters.Exponential):
    def clock(self, seed):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(f"{os.getpid()}\\n")
        return super().clock(seed)


def table(jobs):
    X, y, *_ = asgd.data.load("digits")
    problem = asgd.problems.Softmax(X, y, asgd.partition.iid(len(y), 10, seed=0))
    methods = variants("asgd", lr=[0.01, 0.02]) + variants("ormo", lr=[0.01], momentum=[0.5, 0.9])
    return sweep(methods, Noted((1.0,) * 10), problem, arrivals=200, seeds=range(6), own_traces=True, jobs=jobs)


def here_and_there():
    one = table(1)
    with backend():
        other = table(None)
    pd.testing.assert_frame_equal(other, one, check_exact=True)
    print(os.getpid(), one["run"].nunique())
"""
DASK = """
def backend():
    return parallel_config(backend="dask")


if __name__ == "__main__":
    from distributed import Client, LocalCluster
    torch.set_num_threads(1)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        here_and_there()
"""
RAY = """
def backend():
    return parallel_config(backend="ray", n_jobs=2)


if __name__ == "__main__":
    import ray
    from ray.util.joblib import register_ray
    torch.set_num_threads(1)
    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    here_and_there()
    ray.shutdown()
"""


def extra(name, package, start):
    """A start that needs one of the extras that nothing else here needs, and that the lock therefore leaves out."""
    absent = pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed; pip install .[{name}] brings it.")
    return pytest.param(start, id=name, marks=absent)


@pytest.mark.slow
@pytest.mark.parametrize("start", [extra("dask", "distributed", DASK), extra("ray", "ray", RAY)])
def test_the_table_is_that_of_one_process(start, tmp_path):
    script, notes = tmp_path / "script.py", tmp_path / "pids"
    script.write_text(SWEEP + start)
    done = subprocess.run(
        [sys.executable, str(script)], env=os.environ | {"NOTES": str(notes)}, capture_output=True, text=True, timeout=500, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    pid, runs = done.stdout.split()[-2:]
    assert runs == "24"
    computed = notes.read_text().split()
    assert len(computed) == 24 and computed[:12] == [pid] * 12  # 6 seeds of two policies, here and there
    assert pid not in computed[12:] and len(set(computed[12:])) >= 1
