"""Short traces of every method, kept exactly, and their final models: nothing changes without our knowledge."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asgd_lib import METHODS

spec = importlib.util.spec_from_file_location("golden", Path(__file__).parents[1] / "scripts" / "golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)

REMEDY = "scripts/golden.py adds what is missing"
everywhere = pytest.mark.parametrize(("cluster", "method"), [(c, m) for c in golden.CLUSTERS for m in METHODS])


def kept(name, **where):
    table = golden.read(name)
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table), f"no golden rows for {where}; {REMEDY}"
    return table.reset_index(drop=True)


@everywhere
def test_the_trace_is_the_kept_one_to_the_last_bit(cluster, method):
    expected = kept(f"trace_{cluster}", method=method)
    pd.testing.assert_frame_equal(golden.rows(golden.trace_of(cluster, method), method), expected, check_exact=True)
    assert expected["arrived"].sum() == golden.ARRIVALS


@everywhere
def test_the_model_is_the_kept_one(cluster, method):
    expected, now = kept("finals", cluster=cluster, method=method).iloc[0], golden.final(cluster, method)
    assert expected["updates"] == now["updates"] > 0
    columns = ["loss", "x0", "x1", "x2"]
    np.testing.assert_allclose([now[c] for c in columns], expected[columns].to_numpy(float), rtol=1e-6)


def test_the_kept_traces_exercise_what_they_should():
    lost = kept("trace_dropout").query("arrived == 0")
    assert np.isfinite(lost["end"]).sum() > len(METHODS)  # jobs were lost ...
    assert np.isinf(lost["end"]).any() and lost["start"].isna().any()  # ... in flight and in queues
    assert set(kept("finals")["method"]) == set(METHODS)
