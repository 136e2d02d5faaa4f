"""`asgd replay`: of traces, journals and folders, and what it says of runs that were made otherwise."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner
from test_cli import SMALL, said

from asgd_lib import METHODS, Trace, clusters, replay, simulate, specs
from asgd_lib.cli import asgd


def test_replay_takes_a_saved_trace(tmp_path):
    simulate(clusters.Fixed((1.0, 2.0, 3.0)), METHODS["asgd"](0.1), arrivals=120).save(tmp_path / "trace.npz")
    rows = json.loads(said("replay", tmp_path / "trace.npz", *SMALL[:2], "--method", "asgd", "--method", "dude", "--lr", "0.1", "--json"))
    assert [row["method"] for row in rows] == ["asgd", "dude"]


def test_replay_of_a_real_run_meets_the_run_s_own_data_and_minibatches(tmp_path):
    same = ["--problem", "softmax:digits", "--alpha", "0.1", "--method", "asgd", "--lr", "0.1"]
    said("serve", *same, "--arrivals", "30", "--workers", "2", "--seed", "3", "--folder", tmp_path)
    rows = json.loads(said("replay", tmp_path / "journal", *same, "--seeds", "2", "--out", tmp_path / "out", "--json"))
    problem, table = specs.problem("softmax:digits", 2, alpha=0.1, seed=3), pd.read_parquet(tmp_path / "out" / "history.parquet")
    own = replay(Trace.load(tmp_path / "journal"), METHODS["asgd"](0.1), problem, seeds=[3, 4], every=1)
    assert table["seed"].unique().tolist() == [3, 4] and table["loss"].tolist() == own["loss"].tolist() and len(rows) == 1


def test_replay_takes_the_folder_of_a_run(tmp_path):
    place = ["--problem", "softmax:iris", "--batch", "8", "--method", "asgd", "--lr", "0.1"]
    said("run", *place, "--workers", "2", "--arrivals", "30", "--out", tmp_path / "simulated")
    said("serve", *place, "--workers", "2", "--arrivals", "30", "--folder", tmp_path / "real")
    for folder, file in (("simulated", "trace.npz"), ("real", "trace.npz"), ("real", "journal")):
        assert said("replay", tmp_path / folder, *place) == said("replay", tmp_path / folder / file, *place)
    (tmp_path / "real" / "trace.npz").unlink()  # it is written at the end, and a run may go on
    assert said("replay", tmp_path / "real", *place) == said("replay", tmp_path / "real" / "journal", *place)
    done = CliRunner().invoke(asgd, ["replay", str(tmp_path), *place])
    assert str(done.exception).startswith(f"{tmp_path} holds neither trace.npz nor a journal: name the folder of a run ")


def test_replay_counts_the_seeds_whose_mean_it_prints(tmp_path):
    place = ["--problem", "softmax:iris", "--batch", "8", "--lr", "0.1", "--json", "--seeds", "2"]
    rows = json.loads(said("run", *place, "--method", "asgd", "--workers", "2", "--arrivals", "30", "--out", tmp_path))
    again = json.loads(said("replay", tmp_path, *place, "--method", "asgd", "--method", "dude"))
    assert [row["seeds"] for row in again] == [2, 2] and [row["seed"] for row in rows] == [0, 1]
    assert again[0]["loss"] == pytest.approx((rows[0]["loss"] + rows[1]["loss"]) / 2, rel=1e-8)


@pytest.mark.parametrize("made", ["simulated", "real"])
def test_replay_says_that_the_run_was_on_something_else(made, tmp_path):
    place, size = ["--problem", "softmax:iris", "--batch", "8", "--alpha", "0.5"], ["--workers", "2", "--arrivals", "30"]
    where = ["--folder", tmp_path] if made == "real" else ["--out", tmp_path]
    said("serve" if made == "real" else "run", *place, "--method", "asgd", "--lr", "0.1", *size, *where)
    batch, alpha = "batch 16, split by Dirichlet(0.5)", "batch 8, split by Dirichlet(5)"
    for changed, now in (([], ""), (["--batch", "16"], batch), (["--alpha", "5"], alpha)):
        note = CliRunner().invoke(asgd, ["replay", str(tmp_path), *place, *changed, "--method", "asgd", "--lr", "0.1"]).stderr
        then = "note: these arrivals were made on softmax:iris, batch 8, split by Dirichlet(0.5); this replay is on softmax:iris, "
        assert note == (f"{then}{now}, where gradients are others.\n" if now else "")


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    call = ["serve", "--problem", "softmax:iris", "--method", "asgd", "--lr", "0.1", "--workers", "2", "--folder", tmp_path, "--arrivals"]
    said(*call, "20")
    done = CliRunner().invoke(asgd, [str(a) for a in (*call, "40", "--resume", "--batch", "8")])
    told = f"asgd serve: {tmp_path}/journal records a run with problem = 'softmax:iris, batch 32, split evenly'; this one has "
    assert done.exit_code == 1 and done.stderr.startswith(told)
    said(*call, "40", "--resume")
    assert len(Trace.load(tmp_path / "trace.npz")) == 40


def test_replay_says_who_would_have_made_other_arrivals(tmp_path):
    simulate(clusters.Fixed((1.0, 2.0, 3.0)), METHODS["asgd"](0.1), arrivals=120).save(tmp_path / "trace.npz")
    arguments = ["replay", str(tmp_path / "trace.npz"), *SMALL[:2], "--lr", "0.1", "--method", "asgd", "--method"]
    notes = [CliRunner().invoke(asgd, [*arguments, name]).stderr for name in ("dude", "sgd_minibatch")]
    assert notes[0] == "" and notes[1].startswith("note: these arrivals were made under Greedy(); sgd_minibatch would have made others")
