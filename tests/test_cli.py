"""The command line: tables and JSON, files, sentences and exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from asgd_lib import METHODS, Trace, cli, clusters, data, plots, simulate
from asgd_lib.cli import COMMANDS, asgd

ROOT = Path(__file__).resolve().parents[1]
MINE = f"{ROOT}/notebooks/my_method.py:DelayCompensated"
SMALL = ["--problem", "serving:noisy", "--workers", "3", "--arrivals", "200"]


def said(*arguments, code=0):
    """What a command prints; it must end with `code`."""
    done = CliRunner().invoke(asgd, [str(a) for a in arguments])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.stdout


def test_list():
    assert set(json.loads(said("list", "--json"))["methods"]) == set(METHODS)
    text = said("list")
    assert all(f"  {name} " in text for name in METHODS)
    assert "  LogNormal:MEDIAN " in text and " Keywords: std=1.0, low=0.0.\n" in text and "\n  mlp:DATA " in text
    assert "clusters: KIND:NUMBER" in text and f"  {'digits':21}1,497 / 300 x 64; pixels to [0, 1]; bundled: scikit-learn\n" in text


def test_list_describes_every_data_set_by_the_library_s_own_table():
    rows = json.loads(said("list", "--json"))["data"]
    assert list(rows) == list(data.NAMES)
    for name in ("digits", "breast_cancer", "wine", "iris", "diabetes", "fashion_mnist_small"):
        X, _, X_test, _ = data.load(name)
        assert rows[name].startswith(f"{len(X):,} / {len(X_test):,} x {X.shape[1]}; ") and "; bundled: " in rows[name]
    assert all("; fetched: " in rows[name] for name in ("fashion_mnist", "cifar10", "shakespeare"))


def test_run_prints_a_row_a_seed_and_writes_what_it_did(tmp_path):
    rows = json.loads(said("run", "--method", "ormo", "--set", "momentum=0.5", "--lr", "0.05", *SMALL, "--out", tmp_path, "--json"))
    assert [row["seed"] for row in rows] == [0, 1, 2] and all(row["diverged"] == 0 for row in rows)
    table = pd.read_parquet(tmp_path / "history.parquet")
    assert set(table["method"]) == {"ormo(momentum=0.5)"} and table["arrivals"].max() == 200 and table["arrivals"].nunique() == 21
    assert table.groupby("run")["loss"].last().tolist() == pytest.approx([row["loss"] for row in rows], rel=1e-8)
    trace = simulate(clusters.Exponential((1.0,) * 3), METHODS["ormo"](0.05), arrivals=200)
    assert Trace.load(tmp_path / "trace.npz") == trace and (tmp_path / "loss.png").read_bytes()[1:4] == b"PNG"


def test_compare_tunes_all_on_one_grid_and_warns_of_its_edge(tmp_path):
    grid = ["--lrs", "0.001:0.004:3"]  # far too small: the best is the largest
    done = CliRunner().invoke(asgd, ["compare", "--method", "asgd", "--method", "dude", *SMALL, *grid, "--json", "--cache", str(tmp_path)])
    rows = json.loads(done.stdout)
    assert {row["method"] for row in rows} == {"asgd", "dude"} and all(row["edge"] and row["lr"] == 0.004 for row in rows)
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    assert "warning: The best step size of" in done.stderr and list(tmp_path.iterdir())


@pytest.mark.parametrize(("goal", "column"), [([], "loss"), (["--target", "0.9"], "seconds")])
def test_the_table_of_a_comparison_names_what_it_compares(goal, column):
    place = ["--problem", "softmax:iris", "--workers", "3", "--arrivals", "100", "--lrs", "0.01:1:3", "--seeds", "2"]
    head = said("compare", "--method", "asgd", "--method", "dude", *place, *goal).splitlines()[0]
    assert head.split() == ["method", "lr", column, "low", "high", "seeds", "edge"]


@pytest.mark.parametrize("goal", [[], ["--target", "0.9"]])
def test_the_figure_shows_the_step_sizes_of_the_table(goal, tmp_path, monkeypatch):
    shown, draw = [], plots.convergence
    monkeypatch.setattr(plots, "convergence", lambda history, *axes: shown.append(history) or draw(history, *axes))
    place = ["--problem", "softmax:iris", "--batch", "8", "--workers", "3", "--arrivals", "200", "--every", "5"]
    call = ["compare", "--method", "asgd", "--method", "ormo", *place, "--lrs", "0.01:100:9", "--json", "--out", tmp_path]
    rows = json.loads(said(*call, *goal))
    steps = {(row["method"], f"{row['lr']:.6g}") for row in rows}
    assert set(zip(shown[0]["method"], shown[0]["lr"].map("{:.6g}".format), strict=True)) == steps
    table = pd.read_parquet(tmp_path / "history.parquet")
    ends = table.groupby("run").last()
    mean = ends.assign(loss=ends["loss"].where(ends["status"] != "diverged", float("inf"))).groupby(["method", "lr"])["loss"].mean()
    lowest = {(name, f"{mean[name].idxmin():.6g}") for name in ("asgd", "ormo")}
    assert (steps == lowest) is not bool(goal), "the test is about a target that asks for other step sizes"


def test_verdicts(tmp_path):
    (tmp_path / "verdicts").mkdir()
    assert "There are no verdicts of any notebook" in CliRunner().invoke(asgd, ["verdicts", "--results", str(tmp_path)]).stderr
    assert json.loads(said("verdicts", "--notebook", "02", "--json"))[0]["notebook"] == "02_dude"
    assert "D1" in said("verdicts")


@pytest.mark.parametrize("call", [["run"], ["serve", "--folder", "real"]])
def test_a_module_beside_the_caller_is_found_by_the_command_as_by_python(call, tmp_path):
    (tmp_path / "beside.py").write_text("import serving\n\n\nclass Own(serving.problems.Quadratic):\n    pass\n\n\n"
                                        "def make(n):\n    made = serving.noisy(n)\n    return Own(made.A, made.b, 0.3)\n")  # fmt: skip
    start = "import sys; from asgd_lib.cli import main; sys.path = [one for one in sys.path if one]; main()"  # as the installed script does
    line = [*call, "--problem", "beside:make", "--method", "asgd", "--lr", "0.1", "--workers", "2", "--arrivals", "30"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", start, *line], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("method", ["asgd", MINE])
def test_serve_is_the_same_as_the_module(method, capfd):
    text = said("serve", *SMALL[:2], "--method", method, "--lr", "0.1", "--arrivals", "30", "--workers", "2")
    numbers = r"[0-9.]+ s, [0-9]+ arrivals/s, the server busy for [0-9]+% of the time"
    assert re.fullmatch(rf"Trace\(n=2, arrivals=30, lost=0, in_flight=2\): {numbers}\n", text)
    assert capfd.readouterr() == ("", "")  # nor do its processes say anything


def test_a_file_stands_where_a_name_may_stand(tmp_path):
    run = json.loads(said("run", "--method", MINE, "--set", "strength=0.0", "--lr", "0.05", *SMALL, "--out", tmp_path, "--json"))
    plain = json.loads(said("run", "--method", "asgd", "--lr", "0.05", *SMALL, "--json"))
    assert run == plain and set(pd.read_parquet(tmp_path / "history.parquet")["method"]) == {"DelayCompensated(strength=0.0)"}
    both = ["--method", MINE, "--method", "ormo", "--set", "strength=0.5", "--set", "momentum=0.5"]
    rows = json.loads(said("replay", tmp_path / "trace.npz", *SMALL[:2], *both, "--lr", "0.05", "--json"))
    assert [row["method"] for row in rows] == ["DelayCompensated(strength=0.5)", "ormo(momentum=0.5)"]
    rows = json.loads(said("compare", "--method", MINE, "--method", "asgd", *SMALL, "--lrs", "0.001:10:6", "--json"))
    assert {row["method"] for row in rows} == {"DelayCompensated", "asgd"}


def test_check_says_what_is_wrong_and_fails(tmp_path):
    text = said("check", MINE, "--no-processes")
    assert text.count("  ok  ") == 10 and text.count("DelayCompensated conforms: 10 checks passed.\n") == 1
    assert text.splitlines()[-1].startswith("  Delays tried: up to 100 ") and "strength=1.5" not in text
    assert "DelayCompensated conforms" in said("check", MINE, "--no-processes", "--set", "strength=0.01")
    broken = Path(MINE.rpartition(":")[0]).read_text().replace("x = s.x - self.lr", "x = s.x.sub_(s.x * 0.1) - self.lr")
    (tmp_path / "broken.py").write_text(broken)
    text = said("check", f"{tmp_path}/broken.py:DelayCompensated", code=1)
    assert "fails writes nothing        receive wrote into s.x at arrival 0" in text
    assert "does not conform. Mend this first; after it come: shapes and counters, repeats, " in text and "real processes" in text
    assert "real processes" not in said("check", f"{tmp_path}/broken.py:DelayCompensated", "--no-processes", code=1)
    found = json.loads(said("check", f"{tmp_path}/broken.py:DelayCompensated", "--json", code=1))
    assert [bool(finding["problem"]) for finding in found] == [False, True]


def test_an_error_in_a_file_of_ones_own_is_a_sentence(tmp_path):
    text = Path(MINE.rpartition(":")[0]).read_text()
    (tmp_path / "late.py").write_text(text.replace("        correction =", "        assert s.k < 190, 'too many'\n        correction ="))
    call = [sys.executable, "-m", "asgd_lib.cli", "run", "--method", f"{tmp_path}/late.py:DelayCompensated", "--lr", "0.1", *SMALL]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.fullmatch(r"asgd: AssertionError: too many \(late.py, line 36: `assert s.k < 190, 'too many'`\).\n", done.stderr)


def test_what_was_not_written_is_not_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    done = CliRunner().invoke(asgd, ["run", "--method", "asgd", "--lr", "0.05", *SMALL, "--out", str(tmp_path)])
    assert done.stderr == f"wrote history.parquet, loss.png, trace.npz to {tmp_path}\n"


def test_ctrl_c_is_a_sentence(monkeypatch, capsys):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "asgd", interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130 and capsys.readouterr().err == (
        "asgd: interrupted. What is written is whole; run it again, and what a cache holds is not computed anew.\n"
    )


INTERRUPTING = """if True:
    import os, runpy, signal, sys
    class Interrupting:
        def find_spec(self, name, *_):
            if name == "torch":
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                except KeyboardInterrupt:
                    if not {swallowed}:
                        raise
    sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize(("module", "arguments"), [("asgd_lib.serve", []), ("asgd_lib.cli", ["serve"]), ("asgd_lib.cli", ["run"])])
@pytest.mark.parametrize("swallowed", [False, True])  # by what loads a library in C, as numpy's and torch's do
def test_ctrl_c_while_modules_are_imported_is_a_sentence(module, arguments, swallowed):
    code = f"{INTERRUPTING.format(swallowed=swallowed)}    sys.argv[1:] = {arguments}; runpy.run_module('{module}', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    name = "asgd_lib.serve" if "serve" in module else "asgd"
    assert done.returncode == 130 and not done.stdout
    assert done.stderr.startswith(f"{name}: interrupted") and done.stderr.count("\n") == 1


def test_ctrl_c_while_a_session_imports_serve_does_not_end_the_session():
    code = f"{INTERRUPTING.format(swallowed=False)}    try: import asgd_lib.serve\n    except KeyboardInterrupt: print('here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")


def test_an_error_that_is_the_library_s_own_fault_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(cli, "asgd", lambda **_: [][1])
    with pytest.raises(IndexError):
        cli.main()


def test_a_command_is_imported_when_it_is_called():
    for option in ("--version", "--help"):
        code = f"from asgd_lib.cli import asgd; asgd(['{option}'], standalone_mode=False); import sys; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded = done.stdout.splitlines()[-1].split()
        assert "asgd_lib.cli" in loaded and not {"torch", "pandas", "asgd_lib.commands"} & set(loaded)


def test_a_command_that_there_is_not_is_answered_with_those_there_are():
    told = {name: CliRunner().invoke(asgd, [name]) for name in ("methods", "chek")}
    assert {done.exit_code for done in told.values()} == {2}
    assert f"Error: There is no command 'methods'; there are {', '.join(COMMANDS)}.\n" in told["methods"].stderr
    assert "There is no command 'chek' (did you mean 'check'?); there are list, " in told["chek"].stderr
    assert "No such option '--walk'" in CliRunner().invoke(asgd, ["--walk"]).stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name):
    command = asgd.get_command(None, name)
    assert COMMANDS[name][1] == command.help.splitlines()[0]
    assert f"{name} {COMMANDS[name][1]}" in " ".join(said("--help").split())


@pytest.mark.parametrize("name", ["check", "contest"])
def test_the_help_says_once_what_a_method_is(name):
    text = said(name, "--help")
    assert text.count("\n  METHOD: a name of the table of methods") == 1 and "\n    " not in text.partition("Options:")[0]


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["run", "--method", "wings", "--lr", "0.1"], 1, "There is no method 'wings'"),
    (["run", "--method", "asgd", "--lr", "-1"], 1, "lr must be"),
    (["run", "--method", "none.py:Mine", "--lr", "0.1"], 1, "asgd: none.py: There is no such file. A method of your own is"),
    (["check", "tests/serving.py:Broken"], 1, "asgd: Broken is not a dataclass: write @dataclass(frozen=True)"),
    (["compare", "--method", "asgd", "--method", "asgd"], 1, "Two methods go by the name 'asgd'"),
    (["compare", "--method", "asgd", "--set", "momentum=1"], 1, "No method here has a hyperparameter 'momentum': asgd takes lr."),
    (["run", "--method", "asgd"], 2, "Missing option '--lr'"),
    (["compare", "--method", "asgd", "--lrs", "1"], 1, "A grid is LOW:HIGH:NUMBER"),
    (["run", "--method", "asgd", "--lr", "0.1", "--cluster", "Fast:1"], 1, "asgd: There is no kind of cluster 'Fast'"),
    (["run", "--method", "asgd", "--lr", "0.1", "--problem", "softmax:faces"], 1, "asgd: There is no data set 'faces'"),
])  # fmt: skip
def test_errors_are_sentences(arguments, code, words):
    done = subprocess.run([sys.executable, "-m", "asgd_lib.cli", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr
