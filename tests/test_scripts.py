"""Running notebooks: whole files or none, failures as sentences, the right kernel, nothing left behind."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import accept
import figures
import nbformat
import notebook_kernel
import psutil
import pytest
import standstill
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from asgd_lib.distributed import quiet

PARAMETERS = "n: int = 2  # how many"


def write(path, *sources):
    """A notebook of code cells, the first of them with the tag parameters."""
    cells = [new_markdown_cell("A title"), *(new_code_cell(source) for source in (PARAMETERS, *sources))]
    cells[1].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
    return path


def run(notebook, target, tmp_path, *options):
    """Exit code and words of run_notebook.py."""
    env = notebook_kernel.environment(tmp_path / "results") | {"JUPYTER_RUNTIME_DIR": str(tmp_path)}
    script = notebook_kernel.ROOT / "scripts" / "run_notebook.py"
    command = [sys.executable, str(script), str(notebook), str(target), *map(str, options)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def run_notebook(tmp_path, monkeypatch):
    """The script as a module; it makes an IPython folder where Jupyter keeps its sockets."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    return importlib.import_module("run_notebook")


def printed(path):
    return "".join(output.get("text", "") for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", []))


def test_kernel_is_this_environments_whatever_else_is_called_python3(tmp_path, monkeypatch):
    for home in (tmp_path / "home" / ".local" / "share" / "jupyter", tmp_path / "elsewhere"):
        spec = home / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "wrong", "language": "python"}))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "elsewhere"))
    script = "import os, sys\nprint(sys.prefix, os.environ['ASGD_RESULTS'], os.getcwd(), n, sep='\\n')"
    values = tmp_path / "values.yaml"
    values.write_text("n: 7\n")
    target = tmp_path / "out" / "a.ipynb"
    assert run(write(tmp_path / "a.ipynb", script), target, tmp_path, "--parameters", values) == (0, "")
    assert printed(target).splitlines() == [sys.prefix, str(tmp_path / "results"), str(tmp_path), "7"]


def test_jupyter_need_not_have_run_here_before_and_its_folder_is_left_empty(tmp_path):
    target, fresh = tmp_path / "out.ipynb", tmp_path / "fresh"
    assert run(write(tmp_path / "a.ipynb", "print(n)"), target, fresh) == (0, "") and printed(target) == "2\n"
    assert not list(fresh.iterdir())


def test_a_folder_need_not_be_ascii_where_the_locale_is(tmp_path, monkeypatch):
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "Hefte ✓").mkdir()
    target = tmp_path / "Läufe" / "a.ipynb"
    assert run(write(tmp_path / "Hefte ✓" / "a.ipynb", "print('ü')"), target, tmp_path) == (0, "") and printed(target) == "ü\n"


def test_unknown_full_size_parameter_is_a_sentence_and_leaves_nothing(tmp_path):
    values = tmp_path / "values.yaml"
    values.write_text("m: 7\n")
    code, words = run(write(tmp_path / "a.ipynb"), tmp_path / "out" / "a.ipynb", tmp_path, "--parameters", values)
    assert code == 1 and words == "ValueError: values.yaml sets m; the parameters of a.ipynb are n.\n"
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(("text", "words"), [
    ("n: !!python/object/apply:os.system ['touch {0}']", "strings and lists (could not determine a constructor for the tag"),
    ("n: " + "[" * 2_000, "is no YAML file of numbers, strings and lists"),
    ("n: &a [*a]", "(Circular reference detected); correct it, or restore a copy."),
    ("n: 2020-01-01", "(Object of type date is not JSON serializable)"),
    ("n: \xff", "('utf-8' codec can't decode byte 0xff"),
    ("- 1", "values.yaml must have lines NAME: VALUE"),
    ("7: 1\nm: 2", "values.yaml must have lines NAME: VALUE"),
    ("hello", "values.yaml must have lines NAME: VALUE"),
])  # fmt: skip
def test_a_damaged_file_of_parameters_is_a_sentence_and_never_run(text, words, tmp_path, run_notebook):
    values, ran = tmp_path / "values.yaml", tmp_path / "ran"
    values.write_bytes(text.replace("{0}", str(ran)).encode("latin-1"))
    with pytest.raises(ValueError, match=re.escape(words)):
        run_notebook.parameters(tmp_path / "none.ipynb", values)
    assert not ran.exists()


def test_a_failing_notebook_is_kept_apart_and_does_not_stop_the_others(tmp_path, capsys):
    bad = write(tmp_path / "bad.ipynb", "print('so far')", "\nn / 0")
    good = write(tmp_path / "good.ipynb", "print('fine')")
    out = tmp_path / "out"
    out.mkdir()
    (out / "bad.ipynb").write_text("an older result")
    (out / "verdicts").mkdir()
    judged = [{"verdict": verdict} for verdict in ("partly", "reproduced", "reproduced")]
    (out / "verdicts" / "good.json").write_text(json.dumps({"verdicts": judged}))
    assert figures.run_all([bad, good], "quick", out, jobs=1) == ["bad"]
    assert sorted(path.name for path in out.glob("*.ipynb")) == ["bad.failed.ipynb", "bad.ipynb", "good.ipynb"]
    assert (out / "bad.ipynb").read_text() == "an older result"
    assert printed(out / "good.ipynb") == "fine\n"
    assert "so far\n" in printed(out / "bad.failed.ipynb")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[0/2] bad started" and lines[-1].startswith("[2/2] good finished in ")
    assert lines[-1].endswith(" s: 2 reproduced, 1 partly")
    assert "cell [3] (`n / 0` ...) raised ZeroDivisionError: division by zero" in lines[1]


TICKS = """
import pathlib, time
from asgd_lib.distributed import quiet
here = pathlib.Path({here!r})
def wait(name):
    while not (here / name).exists():
        time.sleep(0.005)
def tick(name, seconds=60.0):
    (here / name).touch()
    began, ticks = time.monotonic(), []
    while not (here / "over").exists() and time.monotonic() < began + seconds:
        ticks.append(time.monotonic())
        time.sleep(0.005)
    print(*ticks)
def measure():
    with quiet.measuring():
        print(began := time.monotonic())
        time.sleep(0.5)
        print(time.monotonic())
"""


def together(folder, **sources):
    """The numbers that each of these notebooks prints when all run at once."""
    paths = [write(folder / f"{name}.ipynb", TICKS.format(here=str(folder)) + source) for name, source in sources.items()]
    (folder / "out").mkdir()
    assert figures.run_all(paths, "quick", folder / "out", jobs=len(paths)) == []
    return [[float(word) for word in printed(folder / "out" / path.name).split()] for path in paths]


def test_the_others_stand_still_while_a_notebook_measures_and_then_go_on(tmp_path):
    measures = "wait('ticking')\ntime.sleep(0.1)\nmeasure()\ntime.sleep(0.2)\nmeasure()\ntime.sleep(0.2)\n(here / 'over').touch()"
    moments, ticks = together(tmp_path, a=measures, b="tick('ticking')")
    for began, ended in (moments[:2], moments[2:]):
        assert [tick for tick in ticks if tick < began] and not [tick for tick in ticks if began < tick < ended]
        assert [tick for tick in ticks if tick > ended]


def test_children_of_kernels_stand_still_too():
    parent = psutil.Popen(["sh", "-c", "sh -c 'sleep 60; :'; :"])
    still, deadline = standstill.Standstill(), time.monotonic() + 60

    def until(statuses):
        while {one.status() == psutil.STATUS_STOPPED for one in family} != statuses:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    try:
        while len(family := parent.children(recursive=True)) < 2:
            time.sleep(0.01)
        still.begin([parent.pid])
        until({True})
        assert parent.status() != psutil.STATUS_STOPPED
        still.end()
        until({False})
    finally:
        for one in [parent, *family]:
            one.kill()
        parent.wait()


def test_two_measure_one_after_the_other(tmp_path):
    moments = together(tmp_path, a="measure()", b="measure()")
    (_, ended), (began, _) = sorted(moments)
    assert ended <= began


def test_who_stays_awake_is_waited_for(tmp_path):
    awake = "quiet.stay_awake()\ntick('ticking', seconds=0.5)"
    (began, _), ticks = together(tmp_path, a="wait('ticking')\nmeasure()", b=awake)
    assert len(ticks) > 10 and ticks[-1] < began


def test_a_kernel_is_not_stopped_before_it_has_started(tmp_path):
    run = figures.Run(tmp_path / "a.ipynb", tmp_path, None, time.monotonic(), tmp_path / "a.log", tmp_path)
    assert not run.can_stand_still
    (tmp_path / quiet.STARTED).touch()
    assert run.can_stand_still
    (tmp_path / quiet.AWAKE).touch()
    assert not run.can_stand_still
    (tmp_path / quiet.ASKED).touch()
    assert run.can_stand_still and run.asks and not run.measures


def test_stopping_ends_kernels_and_leaves_no_file(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    began = tmp_path / "began"
    sleep = f"import pathlib, time\npathlib.Path({str(began)!r}).touch()\ntime.sleep(600)"
    run = figures.start(write(tmp_path / "a.ipynb", sleep), "quick", out, tmp_path)
    while not began.exists():
        assert run.process.poll() is None
        time.sleep(0.05)
    family = psutil.Process(run.process.pid).children(recursive=True)
    assert family
    figures.stop([run])
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not list(out.iterdir())


@pytest.mark.parametrize("moment", ["a process starts", "processes are stopped"])
def test_ctrl_c_leaves_no_process_behind_whenever_it_comes(moment, tmp_path, monkeypatch):
    out, started, start, stop = tmp_path / "out", [], subprocess.Popen, figures.stop
    out.mkdir()

    def starting(*arguments, **options):
        started.append(start(*arguments, **options))
        if moment == "a process starts":
            os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    def said(*_):
        raise KeyboardInterrupt  # the first Ctrl-C, unless there has been one

    def stopping(runs):
        if moment == "processes are stopped":
            os.kill(os.getpid(), signal.SIGINT)
        stop(runs)

    monkeypatch.setattr(figures.subprocess, "Popen", starting)
    monkeypatch.setattr(figures, "say", said)
    monkeypatch.setattr(figures, "stop", stopping)
    try:
        with pytest.raises(KeyboardInterrupt):
            figures.run_all([write(tmp_path / "a.ipynb", "1")], "quick", out, jobs=1)
        assert len(started) == 1 and started[0].poll() is not None and not list(out.iterdir())
    finally:
        started[0].kill()


@pytest.mark.parametrize(
    "change, why", [(None, ""), ("source", "it has changed"), ("failed", "its last run failed"), ("gone", "not run yet")]
)
def test_accept_takes_only_what_belongs_to_the_sources(tmp_path, change, why):
    committed, result = write(tmp_path / "a.ipynb", "1"), tmp_path / "out" / "a.ipynb"
    result.parent.mkdir()
    if change != "gone":
        write(result, "2" if change == "source" else "1")
    if change == "failed":
        result.with_suffix(".failed.ipynb").touch()
    refused = accept.refusal(committed, result)
    assert why in refused and bool(refused) == bool(why)


def test_longest_first_and_unknown_ones_before_them(tmp_path, monkeypatch):
    (tmp_path / "seconds.json").write_text('{"a": 3, "b": 9}')
    monkeypatch.setattr(figures, "SECONDS", tmp_path / "seconds.json")
    assert [path.stem for path in figures.longest_first([tmp_path / f"{name}.ipynb" for name in "abc"])] == ["c", "b", "a"]


def test_accepting_the_first_notebook_takes_its_verdicts_and_the_front_page_over(tmp_path, monkeypatch):
    (tmp_path / "out" / "verdicts").mkdir(parents=True)
    committed, result = write(tmp_path / "00_start_here.ipynb", "1"), write(tmp_path / "out" / "00_start_here.ipynb", "1")
    (tmp_path / "out" / "verdicts" / "00_start_here.json").write_text("{}")
    notebook = nbformat.read(result, 4)
    notebook.metadata["papermill"] = {"duration": 1.5}
    nbformat.write(notebook, result)
    (tmp_path / "out" / "figures").mkdir()
    (tmp_path / "out" / "figures" / "00-front-page.png").write_bytes(b"picture")
    monkeypatch.setattr(accept, "FRONT_PAGE", (*accept.FRONT_PAGE[:2], tmp_path / "docs" / "front-page.png"))
    assert accept.accept(committed, result) == 1.5
    assert (tmp_path / "docs" / "front-page.png").read_bytes() == b"picture"
    assert (tmp_path / "verdicts" / "00_start_here.json").read_text() == "{}"
    assert "papermill" not in nbformat.read(committed, 4).metadata
