"""`make figures` that is killed, or started twice: nothing runs on, nothing waits, nothing half-written stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import figures
import psutil
import pytest
from notebook_kernel import ROOT
from test_scripts import write

from asgd_lib.distributed import quiet
from asgd_lib.locks import alone


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_notebooks_and_kernels_end_when_figures_is_killed(tmp_path):
    """One of them measures, and the other stands still."""
    out, here, began = tmp_path / "out", tmp_path / "here", tmp_path / "began"
    (out / "figures").mkdir(parents=True)
    first = f"import pathlib, time\nhere, began = pathlib.Path({str(here)!r}), pathlib.Path({str(began)!r})\n"
    sleeps = write(tmp_path / "a.ipynb", f"{first}here.touch()\ntime.sleep(600)")
    measures = f"{first}from asgd_lib.distributed import quiet\nwhile not here.exists():\n    time.sleep(0.05)\n"
    measures = write(tmp_path / "b.ipynb", f"{measures}with quiet.measuring():\n    began.touch()\n    time.sleep(600)")
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import figures; "
    notebooks = ", ".join(f"figures.Path({str(path)!r})" for path in (sleeps, measures))
    code += f"figures.run_all([{notebooks}], 'quick', figures.Path({str(out)!r}), jobs=2)"
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL)
    until(began.exists)
    family = psutil.Process(process.pid).children(recursive=True)
    statuses = [one.status() for one in family]
    process.kill()
    process.wait()
    assert len(family) >= 4 and psutil.STATUS_STOPPED in statuses
    until(lambda: not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE])
    (out / "figures" / ".00-a.png.1a2b3c4d.png").touch()  # of a kernel that ended by force
    (out / "figures" / "00-a.png").touch()
    figures.run_all([], "quick", out, jobs=1)
    assert [path.name for path in out.rglob("*") if path.is_file()] == ["00-a.png"]


def test_figures_started_twice_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["figures.py", "00"])
    with alone(tmp_path / "results" / "quick"):
        assert figures.main() == 1
    said = capsys.readouterr()
    assert said.err == f"Another run writes into {tmp_path}/results/quick; wait for it, or stop it.\n" and "started" not in said.out


def test_nobody_waits_for_a_dead_process_to_grant_quiet(tmp_path, monkeypatch):
    monkeypatch.setenv(quiet.FOLDER, str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / quiet.ANSWERS).write_text(str(dead.pid))
    with quiet.measuring():
        assert (tmp_path / quiet.ASKED).exists()
    assert not (tmp_path / quiet.ASKED).exists()
    monkeypatch.chdir(tmp_path)
    for nowhere in ("gone", ""):
        monkeypatch.setenv(quiet.FOLDER, nowhere)
        with quiet.measuring():
            quiet.stay_awake()
    assert [path.name for path in tmp_path.iterdir()] == [quiet.ANSWERS]


def test_a_question_that_cannot_be_written_down_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "desk").touch()
    monkeypatch.setenv(quiet.FOLDER, str(tmp_path / "desk"))
    with pytest.raises(OSError, match="awake could not be written .*Unset ASGD_QUIET, which `make figures` sets"):
        quiet.stay_awake()
