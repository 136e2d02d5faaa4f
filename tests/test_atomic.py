"""Whole files or none; what the operating system refuses is a sentence that names the place and the way out, and nothing is left."""

import errno
import os
import re
import resource
from contextlib import contextmanager

import pytest

from asgd_lib import clusters, simulate
from asgd_lib.atomic import atomic_path, unwritable
from asgd_lib.distributed import checkpoint
from asgd_lib.methods import METHODS
from asgd_lib.sweep import sweep


@contextmanager
def full_disk(size):
    """No file may grow beyond `size` bytes: half a record fits, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_trace(path):
    simulate(clusters.Exponential((1.0, 1.0)), METHODS["asgd"](0.1), arrivals=500).save(path)


def save_checkpoint(path):
    import torch

    checkpoint.save({"x": torch.ones(900)}, path)


def save_sweep(path):
    import torch

    from asgd_lib.problems import Quadratic

    problem = Quadratic(torch.ones(2, 3), torch.ones(2, 3))
    sweep([METHODS["asgd"](0.1)], clusters.Fixed((1.0, 1.0)), problem, arrivals=20, seeds=range(9), every=1, save=path)


@pytest.mark.parametrize("save", [save_trace, save_checkpoint, save_sweep])
def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(save, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    said = f"^{re.escape(str(path))} could not be written \\(.*\\)\\. Free some space, or name another place, and run it again\\.$"
    with full_disk(1000), pytest.raises(OSError, match=said) as caught:
        save(path)
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == ["file"] and path.read_text() == "old"
    save(path)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("place", ["file/x", "file/deep/x", "folder"])
def test_what_is_in_the_way_is_named(place, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(OSError, match=r"could not be written \(.*\)\. Move away what is in its place") as caught,
        atomic_path(tmp_path / place),
    ):
        pass
    assert str(tmp_path / place) in str(caught.value) and sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_an_error_of_the_block_itself_is_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match="^.Errno 2.*'nowhere'$"), atomic_path(tmp_path / "x"):
        open("nowhere")
    with pytest.raises(OSError, match="^.Errno 28.*'elsewhere'$"), atomic_path(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device", "elsewhere")
    assert not os.listdir(tmp_path)


def test_the_sentence_keeps_kind_and_number():
    told = unwritable("a/b", PermissionError(errno.EACCES, "Permission denied", "a"))
    assert isinstance(told, PermissionError) and told.errno == errno.EACCES
    assert str(told) == "a/b could not be written (Permission denied). Name a place where you may write, and run it again."


def test_spaces_and_other_alphabets_in_names(tmp_path):
    path = tmp_path / "ein Ordner mit Ümlaut" / "日本 語" / "спуск.npz"
    save_trace(path)
    assert os.listdir(path.parent) == ["спуск.npz"]
