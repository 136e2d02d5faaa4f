"""Where results go: whole files, equal bytes, a table that is valid Markdown."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from asgd_lib import provenance, results  # noqa: E402
from asgd_lib.claims import Claim  # noqa: E402

CLAIM = Claim("C1", "f | g is <b>small</b>", "arXiv:0000.00000 v1", high=1.5, unit="x")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Results go into an empty folder."""
    monkeypatch.setenv("ASGD_RESULTS", str(tmp_path / "out"))
    return tmp_path / "out"


def test_the_folder_is_scratch_in_the_repository_wherever_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("ASGD_RESULTS")
    notebooks = tmp_path / "repository" / "notebooks"
    notebooks.mkdir(parents=True)
    monkeypatch.chdir(notebooks)
    assert results.folder() == notebooks / "results" / "scratch"
    (notebooks.parent / "pyproject.toml").touch()
    assert results.folder() == notebooks.parent / "results" / "scratch"
    assert not (notebooks.parent / "results").exists()
    monkeypatch.setenv("ASGD_RESULTS", "elsewhere")
    assert results.folder() == Path("elsewhere")


def draw():
    fig, ax = plt.subplots()
    ax.plot([1, 2], [3, 4], label="line")
    ax.legend()
    return fig


def test_a_figure_is_two_files_with_equal_bytes_each_time(place, monkeypatch):
    kept = []
    for moment in ("0", "1000000000"):  # matplotlib dates its files by this clock, if it dates them at all
        monkeypatch.setenv("SOURCE_DATE_EPOCH", moment)
        fig = draw()
        assert results.save_figure(fig, "01_delays") is None
        plt.close(fig)
        kept.append({path.name: path.read_bytes() for path in (place / "figures").iterdir()})
    assert sorted(kept[0]) == ["01_delays.pdf", "01_delays.png"]
    assert kept[0] == kept[1]
    assert kept[0]["01_delays.png"].startswith(b"\x89PNG") and kept[0]["01_delays.pdf"].startswith(b"%PDF")
    width = int.from_bytes(kept[0]["01_delays.png"][16:20])
    assert width == 150 * plt.rcParams["figure.figsize"][0]


def test_a_figure_that_fails_leaves_nothing(place, monkeypatch):
    fig = draw()

    def half(path, **_):
        Path(path).write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(fig, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        results.save_figure(fig, "x")
    plt.close(fig)
    assert list((place / "figures").iterdir()) == []


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden"])
def test_names_are_plain_file_names(name):
    with pytest.raises(ValueError, match="plain file name"):
        results.save_verdicts(name, [], {})
    with pytest.raises(ValueError, match="plain file name"):
        results.save_figure(plt.figure(), name)


def test_verdicts_come_back_and_do_not_depend_on_the_order_of_parameters(place):
    verdicts = [CLAIM.check([1.0, 1.1, 1.2])]
    results.save_verdicts("02_dude", verdicts, {"b": [1, 2], "a": 0.5})
    first = (place / "verdicts" / "02_dude.json").read_bytes()
    results.save_verdicts("02_dude.ipynb", verdicts, {"a": 0.5, "b": [1, 2]})
    assert (place / "verdicts" / "02_dude.json").read_bytes() == first
    results.save_verdicts("01_start", [], {})
    loaded = results.load_verdicts()
    assert [run["notebook"] for run in loaded] == ["01_start", "02_dude"]
    assert loaded[1] == {"notebook": "02_dude", "parameters": {"a": 0.5, "b": [1, 2]}, "verdicts": [verdicts[0].as_dict()]}
    assert results.load_verdicts(place) == loaded
    assert results.load_verdicts(place / "nothing") == []


def test_what_somebody_was_writing_when_killed_is_passed_over(place):
    results.save_verdicts("x", [CLAIM.check_exact(1)], {"a": 1})
    (place / "verdicts" / ".x.json.k2j4.json").write_text('{"note')
    assert [run["notebook"] for run in results.load_verdicts(place)] == ["x"]


def test_what_json_cannot_hold_is_refused_and_the_old_file_stays(place):
    results.save_verdicts("x", [CLAIM.check_exact(1)], {"a": 1})
    before = (place / "verdicts" / "x.json").read_text()
    for wrong in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises(ValueError, match="must be literals"):
            results.save_verdicts("x", [], wrong)
    with pytest.raises(ValueError, match="more than one verdict for C1"):
        results.save_verdicts("x", [CLAIM.check_exact(1), CLAIM.check_exact(2)], {})
    assert (place / "verdicts" / "x.json").read_text() == before
    assert json.loads(before)["parameters"] == {"a": 1}


def test_the_markdown_table_escapes_what_would_break_it():
    results.save_verdicts("02_dude", [CLAIM.check([1.0, 1.1, 1.2])], {})
    head, rule, row = results.markdown_table(results.load_verdicts()).splitlines()
    assert head == "| notebook | claim | it says | measured | expected | verdict |"
    assert rule == "| --- | --- | --- | --- | --- | --- |"
    assert row == (
        r"| [02_dude](notebooks/02_dude.ipynb) | C1 | f \| g is &lt;b>small&lt;/b> | 1.10x (0.852 to 1.35) | &lt;= 1.5x | reproduced |"
    )


def test_the_summary_names_what_was_not_reproduced():
    bad, good = CLAIM.check([9.0, 9.1, 9.2]), replace(CLAIM, id="C2").check([1.0, 1.1, 1.2])
    results.save_verdicts("02_dude", [good, bad], {})
    head, rule, row = results.markdown_summary(results.load_verdicts()).splitlines()
    assert head == "| notebook | claims | reproduced | partly | not reproduced | not tested |" and rule.count("---") == 6
    assert row == "| [02_dude](notebooks/02_dude.ipynb) | 2 | 1 |  | C1 |  |"


def git(place, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", place, *who, *arguments], check=True, capture_output=True)


def test_the_commit_is_the_librarys_own_or_unknown(tmp_path, monkeypatch):
    module = tmp_path / "asgd_lib" / "provenance.py"
    module.parent.mkdir()
    module.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(module))
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # in a hook they point at the real repository
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == "unknown"
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "somebody else's repository")
    assert provenance.commit() == "unknown"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "ours")
    head = provenance.commit()
    assert len(head) >= 7 and "changes" not in head
    module.write_text("# changed")
    assert provenance.commit() == f"{head} +changes"


def test_provenance_names_versions_threads_and_device():
    import torch

    block = provenance.provenance()
    assert [line.split()[0] for line in block.splitlines()] == ["python", "commit", "threads", "device"]
    assert f"torch {torch.__version__}" in block and f"threads  {torch.get_num_threads()}" in block


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"{}", b"[" * 100_000, b"\xff", b'{"notebook": "a", "verdicts": [{"id": "A"}]}', b"1" * 5000]
)
def test_what_is_no_file_of_verdicts_is_named(place, content):
    (place / "verdicts").mkdir(parents=True)
    (place / "verdicts" / "02_dude.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"02_dude.json is no whole file of verdicts; run its notebook again, or restore a copy\.$"):
        results.load_verdicts()


def test_what_is_refused_is_not_written():
    results.save_verdicts("02_demo", [], {"n": 1})
    with pytest.raises(ValueError, match="save_verdicts: parameters must be a dict"):
        results.save_verdicts("02_demo", [], [])
    assert [run["parameters"] for run in results.load_verdicts()] == [{"n": 1}]
