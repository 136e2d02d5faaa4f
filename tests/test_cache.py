"""The index of a cache opens a file once in a process, and notices all that happens to the folder in between."""

import os
import shutil
import subprocess
import sys

import pandas as pd
import pyarrow.parquet as pq
import pytest

from asgd_lib import cache
from asgd_lib.cache import Cache

ELSEWHERE = """
import sys, pandas as pd
from asgd_lib.cache import Cache
for key in sys.argv[2:]:
    Cache(sys.argv[1]).save(pd.DataFrame({"key": [key]}))
"""


def batch(*keys):
    return pd.DataFrame({"key": [key for key in keys for _ in range(3)], "loss": 0.5})


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that `index` opens."""
    names, keys = [], cache._keys
    monkeypatch.setattr(cache, "_keys", lambda path: names.append(path.name) or keys(path))
    return names


def test_a_file_is_opened_once_in_a_process(tmp_path, opened):
    Cache(tmp_path).save(batch("a", "b"))
    Cache(tmp_path).save(batch("c"))
    first = Cache(tmp_path).index()
    assert sorted(first) == ["a", "b", "c"] and len(opened) == 2
    assert Cache(tmp_path).index() == first and len(opened) == 2
    Cache(tmp_path).save(batch("d"))
    assert sorted(Cache(tmp_path).index()) == ["a", "b", "c", "d"] and len(opened) == 3


def test_what_another_process_writes_meanwhile_is_found_and_never_half(tmp_path, opened):
    """Half a file would be warned of, and a warning is an error here."""
    keys, met = [f"run {i}" for i in range(300)], set()
    writer = subprocess.Popen([sys.executable, "-c", ELSEWHERE, str(tmp_path), *keys])
    while writer.poll() is None:
        met.add(len(Cache(tmp_path).index()))
    assert writer.returncode == 0 and sorted(Cache(tmp_path).index()) == sorted(keys)
    assert len(met) > 2 and len(opened) == len(keys)  # looked at in between, and still each file was opened once


def test_folders_are_told_apart_wherever_the_process_stands(tmp_path, monkeypatch, opened):
    for name in ("one", "two"):
        Cache(tmp_path / name / "runs").save(batch(name))
    for name in ("one", "two", "one"):
        monkeypatch.chdir(tmp_path / name)
        assert list(Cache("runs").index()) == [name]
    assert len(opened) == 2


def test_a_file_that_is_gone_is_not_known(tmp_path):
    Cache(tmp_path).save(batch("a"))
    Cache(tmp_path).save(batch("b"))
    Cache(tmp_path).index()["a"].unlink()
    assert list(Cache(tmp_path).index()) == ["b"]


def test_a_file_without_a_checksum_in_its_name_is_not_ours(tmp_path):
    Cache(tmp_path).save(batch("a"))
    shutil.copy(Cache(tmp_path).index()["a"], tmp_path / "old.parquet")
    assert [path.name != "old.parquet" for path in Cache(tmp_path).index().values()] == [True]


@pytest.mark.parametrize("moment", ["_keys", "_marked"])
def test_a_file_may_vanish_while_the_folder_is_read(tmp_path, monkeypatch, moment):
    """Before it is opened, or before its time of writing is asked for: no warning, which would be an error here."""
    for key in ("a", "b"):
        Cache(tmp_path).save(batch(key))
    gone = max(tmp_path.glob("*.parquet"))
    if moment == "_keys":
        whole = cache._keys
        monkeypatch.setattr(cache, "_keys", lambda path: gone.unlink(missing_ok=True) or whole(path))
    else:
        gone.unlink()
        gone.symlink_to(tmp_path / "nowhere")  # listed by glob, and not there
    assert len(Cache(tmp_path).index()) == 1


def test_a_file_that_vanishes_before_it_is_loaded_is_told_in_a_sentence(tmp_path):
    Cache(tmp_path).save(batch("a"))
    paths = set(Cache(tmp_path).index().values())
    next(iter(paths)).unlink()
    with pytest.raises(FileNotFoundError, match="was deleted while it was read. Call again"):
        Cache(tmp_path).load(paths)


def test_damage_after_the_first_look_is_seen_and_mended_by_a_new_file(tmp_path, opened):
    Cache(tmp_path).save(batch("a"))
    Cache(tmp_path).save(batch("b"))
    path = Cache(tmp_path).index()["a"]
    path.write_bytes(path.read_bytes()[:-50])
    for _ in range(2):  # asked again, it is damaged still
        with pytest.warns(UserWarning, match="is damaged .* computed again"):
            assert list(Cache(tmp_path).index()) == ["b"]
    Cache(tmp_path).save(batch("a"))
    assert sorted(Cache(tmp_path).index()) == ["a", "b"]


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    """Parquet itself would hand out another number for many of them."""
    Cache(tmp_path).save(batch("a"))
    path = Cache(tmp_path).index()["a"]
    whole = path.read_bytes()
    for i in range(0, len(whole), 29):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
        with pytest.warns(UserWarning, match="is damaged .* computed again"):
            assert Cache(tmp_path).index() == {}
    path.write_bytes(whole)
    assert list(Cache(tmp_path).index()) == ["a"]


def test_a_folder_need_not_be_ascii_where_the_locale_is(tmp_path):
    code = """if True:
        import sys, pandas as pd
        from asgd_lib.atomic import save_table
        from asgd_lib.cache import Cache
        here = Cache(sys.argv[1])
        here.save(pd.DataFrame({"key": ["a"]}))
        save_table(here.load(set(here.index().values())), here.folder / "table")"""
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "früher ✓")], env=os.environ | ascii_alone, check=True)
    assert pd.read_parquet(tmp_path / "früher ✓" / "table")["key"].tolist() == ["a"]


@pytest.mark.parametrize("change", ["no column", "no rows", "no names"])
def test_a_file_without_the_runs_that_it_names_is_a_sentence(change, tmp_path):
    Cache(tmp_path).save(batch("a"))
    (path,) = tmp_path.iterdir()
    table = pq.read_table(path)
    kept = table.drop(["key"]) if change == "no column" else table.slice(0, 0) if change == "no rows" else table
    meta = table.schema.metadata | ({b"keys": b"[[1], 7]"} if change == "no names" else {})
    pq.write_table(kept.replace_schema_metadata(meta), tmp_path / "new")
    path.unlink()
    path = (tmp_path / "new").rename(tmp_path / f"a-{cache._checksum((tmp_path / 'new').read_bytes())}.parquet")
    if change == "no names":
        with pytest.warns(UserWarning, match="is damaged .*; its runs are computed again"):
            assert not Cache(tmp_path).index()
    else:
        with pytest.raises(ValueError, match="has not the runs that it names: delete it, and they are computed again"):
            Cache(tmp_path).load({path})
