"""Schedules that the loss decides: the detector against its description, and the schedule against the run that it makes."""

import numpy as np
import pytest
import torch
from cases import RANDOM, laws, quadratic
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.adaptive import plateau_schedule
from asgd_lib.clusters import Link, Nodes
from asgd_lib.rules.daso import Daso
from asgd_lib.rules.daso_schedule import BLOCKING, Phase, plateau_phases

CYCLE = [Phase(4, 1, 1)] * 3 + [Phase(2, 1, 1)] * 3 + [Phase(1, 1, 1)] * 3 + [Phase(8, 2, 2)] * 3


def test_a_constant_loss_goes_round_in_twelve_epochs():
    assert list(plateau_phases([2.5] * 90, 90)) == [BLOCKING] * 4 + (CYCLE * 7)[:82] + [BLOCKING] * 4


def test_a_loss_that_falls_by_more_than_the_threshold_changes_nothing():
    for rate, phases in ((0.94, 1), (0.96, 4)):
        made = plateau_phases([rate**e for e in range(90)], 30, patience=0 if rate > 0.95 else 2)
        assert len(set(made[4:-4])) == phases


def test_the_third_bad_epoch_in_a_row_counts():
    #         warm-up   best bad bad good bad bad bad
    losses = [9, 9, 9, 1.0, 1, 1, 0.9, 0.9, 0.9, 0.9]
    assert [phase.skip for phase in plateau_phases(losses, 20)][4:12] == [4] * 6 + [2] * 2
    assert plateau_phases(losses, 20, patience=1)[6] == Phase(2, 1, 1)


def as_described(losses, warm_up, cool_down, most):
    """The authors' bookkeeping at the end of each epoch, told once more: (B, W, local_skip) of all epochs, one loss each."""
    B = W = local = 0
    best, bad, phases = float("inf"), 0, []
    for ended, loss in enumerate(losses, 1):
        phases.append((B, W, local))
        if ended < warm_up:
            continue
        if ended == warm_up:
            B, W, local = 4, 1, 1
        if ended >= len(losses) - cool_down:
            B = W = local = 0
            continue
        best, bad = (loss, 0) if loss < 0.95 * best else (best, bad + 1)
        if bad == 3:  # patience 2: the third bad epoch
            bad = 0
            B, W, local = (most, most // 4, most // 4) if B == 1 else (B // 2, max(1, W - 1), max(1, local // 2))
    return phases


# Losses on a ladder of 3 %, so that one rung is no improvement and two are.
ladders = st.lists(st.integers(0, 12), min_size=12, max_size=60).map(lambda rungs: [0.97**rung for rung in rungs])


@laws
@given(losses=ladders, warm_up=st.integers(1, 5), cool_down=st.integers(0, 5), most=st.sampled_from([4, 8, 16]))
def test_the_schedule_is_the_authors_bookkeeping(losses, warm_up, cool_down, most):
    made = plateau_phases(losses, len(losses), warm_up=warm_up, cool_down=cool_down, most=most)
    assert [tuple(phase) for phase in made] == as_described(losses, warm_up, cool_down, most)


def test_the_first_thirty_epochs_of_a_constant_loss_are_those_written_down():
    epochs = [(0, 0, 0)] * 4 + [(4, 1, 1)] * 3 + [(2, 1, 1)] * 3 + [(1, 1, 1)] * 3 + [(8, 2, 2)] * 3 + [(4, 1, 1)] * 3
    epochs += [(2, 1, 1)] * 3 + [(1, 1, 1)] * 3 + [(8, 2, 2)] * 3 + [(4, 1, 1)] * 2
    made = plateau_phases([1.0] * 90, 90)
    assert [tuple(phase) for phase in made[:30]] == epochs
    assert [e for e, phase in enumerate(made) if phase.skip == 0] == [0, 1, 2, 3, 86, 87, 88, 89]


def test_losses_to_come_change_nothing_before_them():
    losses = np.exp(-0.02 * np.arange(40) - 0.01 * np.arange(40) % 7)
    whole = plateau_phases(losses, 40)
    for known in range(40):
        assert plateau_phases(losses[:known], 40)[: known + 1] == whole[: known + 1]


def test_a_longer_cycle_lowers_the_wait_by_one_or_halves_it():
    by_one, halved = (plateau_phases([1.0] * 60, 60, most=32, halve_wait=h)[13:] for h in (False, True))
    assert [tuple(p) for p in by_one[:12:3]] == [(32, 8, 8), (16, 7, 4), (8, 6, 2), (4, 4, 1)]
    assert [tuple(p) for p in halved[:12:3]] == [(32, 8, 8), (16, 4, 4), (8, 2, 2), (4, 1, 1)]
    odd = plateau_phases([1.0] * 60, 60, most=20, halve_wait=True)[13:]
    assert [tuple(p) for p in odd[:15:3]] == [(20, 5, 5), (10, 2, 2), (5, 1, 1), (2, 1, 1), (1, 1, 1)]
    assert all(type(p.wait) is int for p in odd)


def test_blocking_epochs_may_fill_the_training():
    assert plateau_phases([1.0] * 8, 8) == (BLOCKING,) * 8
    assert plateau_phases([], 3, warm_up=0, cool_down=1) == (Phase(4, 1, 1),) * 2 + (BLOCKING,)
    with pytest.raises(ValueError, match="do not fit into 7"):
        plateau_phases([], 7)


def daso(**more):
    recipe = {"epoch": 4, "epochs": 24, "warm_up": 2, "cool_down": 2, "epoch_sync": True, "schedule": "plateau"}
    return METHODS["daso"](0.1, **recipe | more)


def test_the_schedule_is_the_one_that_its_own_losses_ask_for():
    problem = quadratic(sigma=0.3)
    method = plateau_schedule(RANDOM, daso(), problem, seed=2, run=3, patience=1)
    history = replay(simulate(RANDOM, method, arrivals=4 * 4 * 24, seed=2), method, problem, seeds=[3], every=16)
    asked = plateau_phases(history["loss"].iloc[1:], 24, warm_up=2, cool_down=2, patience=1)
    assert method.rule.phases == asked and len(set(asked)) > 3
    assert isinstance(method.rule, Daso) and str((0, 0, 0)) in method.label


def test_the_trace_remembers_the_schedule():
    problem, cluster = quadratic(4), Nodes(clusters.equal(4), 2, between=Link(0.1))
    method = plateau_schedule(cluster, daso(per_node=2), problem, message_bytes=8)
    trace = simulate(cluster, method, arrivals=64, message_bytes=8)
    assert str(tuple(tuple(p) for p in method.rule.phases)) in trace.meta["method"]
    models = [replay(trace, m, problem).attrs["x"] for m in (method, METHODS["daso"](0.1, **method.hyperparameters))]
    assert torch.equal(*models)


def test_a_plateau_schedule_cannot_be_simulated_without_a_problem():
    with pytest.raises(ValueError, match=r"depends on losses.*plateau_schedule\(cluster, method, problem\)"):
        simulate(RANDOM, daso(), arrivals=10)


def test_a_diverging_run_keeps_its_last_phase():
    method = plateau_schedule(RANDOM, daso(), type(quadratic())(*(100 * t for t in (quadratic().A, quadratic().b))))
    assert len(method.rule.phases) == 24


def test_other_methods_have_no_plateau_schedule():
    for method in (METHODS["asgd"](0.1), METHODS["daso"](0.1)):
        with pytest.raises(ValueError, match="has no plateau schedule to work out"):
            plateau_schedule(RANDOM, method, quadratic())
