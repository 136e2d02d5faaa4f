"""Checkpoints: every state of every rule comes back bit by bit, and nothing else is taken for one."""

import pytest
import torch
from cases import FIXED, by_hand, every_method, quadratic, tensors

from asgd_lib import METHODS, simulate
from asgd_lib.distributed.checkpoint import load, save


@every_method
def test_states_come_back(name, hyper, tmp_path):
    method, problem = METHODS[name](0.05, **hyper), quadratic()
    trace = simulate(FIXED, method, arrivals=30)
    for step in by_hand(trace, method, problem)[::7]:
        save({"state": step.after, "more": 3}, tmp_path / "checkpoint.pt")
        back = load(tmp_path / "checkpoint.pt", method.rule, method.rule.init(problem.x0, 4))
        assert back["more"] == 3 and type(back["state"]) is type(step.after)
        assert bare(back["state"]) == bare(step.after)
        for ours, theirs in zip(tensors(step.after), tensors(back["state"]), strict=True):
            assert torch.equal(ours, theirs) and ours.dtype == theirs.dtype


def bare(value):
    """A state with None for every tensor, and the names of its types."""
    if isinstance(value, tuple):
        return type(value).__name__, tuple(bare(v) for v in value)
    return None if isinstance(value, torch.Tensor) else value


def test_what_is_not_a_checkpoint_of_this_run_is_refused(tmp_path):
    path, problem = tmp_path / "checkpoint.pt", quadratic()
    dude, ormo = (METHODS[name](0.05).rule for name in ("dude", "ormo"))
    save({"state": dude.init(problem.x0, 4)}, path)
    with pytest.raises(ValueError, match="is not a checkpoint of OrMo"):
        load(path, ormo, ormo.init(problem.x0, 4))
    with pytest.raises(ValueError, match="is not a checkpoint of DuDe"):
        load(path, dude, dude.init(quadratic(d=7).x0, 4))
    data = path.read_bytes()
    for damaged in (data[:200], data[: len(data) // 2], b"", b"nothing"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is no whole checkpoint"):
            load(path, dude, dude.init(problem.x0, 4))
    torch.save({"schema": 7, "state": 1}, path)
    with pytest.raises(ValueError, match="is a checkpoint of schema 7, not 1"):
        load(path, dude, dude.init(problem.x0, 4))


def test_no_flipped_bit_becomes_a_model(tmp_path):
    """torch.load compares no checksum: a bit flipped in a tensor would be read as a number."""
    path, problem = tmp_path / "checkpoint.pt", quadratic()
    rule = METHODS["dude"](0.05).rule
    state = rule.init(problem.x0, 4)
    save({"state": state, "events": 3}, path)
    whole, refused = path.read_bytes(), 0
    for i in range(0, len(whole), 7):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
        try:
            back = load(path, rule, state)
        except ValueError as error:
            assert str(path) in str(error) and str(error).endswith(".")
            refused += 1
        else:  # names, dates and paddings inside the archive
            assert back["events"] == 3 and bare(back["state"]) == bare(state)
            assert all(map(torch.equal, tensors(back["state"]), tensors(state)))
    assert refused > len(whole) / 7 / 2


@pytest.mark.parametrize("state", [1, None, [2], {"named tuple": "TableState"}, {"named tuple": [], "fields": ()}])
def test_whole_files_with_something_else_in_them_are_refused(state, tmp_path):
    path, problem = tmp_path / "checkpoint.pt", quadratic()
    rule = METHODS["dude"](0.05).rule
    torch.save({"schema": 1, "state": state}, path)
    with pytest.raises(ValueError, match=r"is not a checkpoint of DuDe.*another folder\."):
        load(path, rule, rule.init(problem.x0, 4))


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a checkpoint ran code",))


def test_a_checkpoint_runs_no_code(tmp_path):
    path, problem = tmp_path / "checkpoint.pt", quadratic()
    rule = METHODS["dude"](0.05).rule
    torch.save({"schema": 1, "state": Trap()}, path)
    with pytest.raises(ValueError, match="is no whole checkpoint"):
        load(path, rule, rule.init(problem.x0, 4))
    torch.save({"schema": 1, "state": {"named tuple": "Popen", "fields": ("ls",)}}, path)
    with pytest.raises(ValueError, match="holds a 'Popen', which this rule has not"):
        load(path, rule, rule.init(problem.x0, 4))
