"""Two runs never write into one folder at once: the second is told so before it computes, and nothing of the first is touched."""

import errno
import fcntl
import subprocess
import sys

import pytest
from click.testing import CliRunner

from asgd_lib import METHODS, clusters, journal, simulate
from asgd_lib.cli import asgd
from asgd_lib.commands import contest, running
from asgd_lib.locks import alone

HOLDS = "import sys; from asgd_lib.locks import alone\nwith alone(sys.argv[1]):\n    print('held', flush=True); sys.stdin.read()"
TAKEN = "Another run writes into .*; wait for it, or stop it."
SMALL = ["--problem", "serving:noisy"]
COMMANDS = {
    "run": ("simulate", ["run", "--method", "asgd", "--lr", "0.1", "--workers", "3", *SMALL, "--out", "out"]),
    "replay": ("replayed", ["replay", "trace.npz", "--method", "asgd", "--lr", "0.1", *SMALL, "--out", "out"]),
    "compare": ("sweep", ["compare", "--method", "asgd", "--workers", "3", *SMALL, "--out", "out"]),
    "contest": ("_compared", ["contest", "asgd", "--against", "dude", "--no-processes"]),
}


def test_a_folder_is_one_run_s_until_it_ends_however_it_ends(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path / "out"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(ValueError, match=TAKEN), alone(tmp_path / "out"):
        pass
    with alone(tmp_path / "elsewhere"), alone(None):
        pass
    other.kill()
    other.communicate()
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "out"):
        raise ZeroDivisionError
    with alone(tmp_path / "out"), pytest.raises(ValueError, match=TAKEN), alone(tmp_path / "out"):
        pass


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OSError, match="out could not be written .*Move away what is in its place"), alone(tmp_path / "out"):
        pass


def test_where_a_file_system_knows_no_locks_runs_go_on_without(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with alone(tmp_path):
        pass
    journal.Journal(tmp_path / "journal", {"n": 1}).close()
    assert list(journal.events(tmp_path / "journal")) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_second_command_into_the_same_folder_is_refused_before_it_computes(name, tmp_path, monkeypatch):
    simulate(clusters.equal(3), METHODS["asgd"](0.1), arrivals=9).save(tmp_path / "trace.npz")
    works, arguments = COMMANDS[name]
    module, folder = (contest, tmp_path / "results" / "compare" / "asgd") if name == "contest" else (running, tmp_path / "out")
    monkeypatch.chdir(tmp_path)

    def computing(*_, **__):
        with pytest.raises(ValueError, match=TAKEN), alone(folder):  # a third would be refused, too, while this one computes
            pass
        raise ZeroDivisionError

    monkeypatch.setattr(module, works, computing)
    with alone(folder):
        done = CliRunner().invoke(asgd, arguments)
        assert isinstance(done.exception, ValueError) and str(done.exception).startswith("Another run writes into")
        assert not list(folder.iterdir())
    assert isinstance(CliRunner().invoke(asgd, arguments).exception, ZeroDivisionError)
