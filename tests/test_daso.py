"""DASO against the authors' code in lockstep, against minibatch SGD, and against the formulas of the paper."""

import math

import numpy as np
import pytest
import torch
from cases import FIXED, RANDOM, Slope, by_hand, quadratic

from asgd_lib import METHODS, clusters, replay, simulate
from asgd_lib.rules import Arrival, Counter
from asgd_lib.rules.daso import Phase, merge, to_bfloat16

DASO, EQUAL = METHODS["daso"], clusters.equal(8)


def heat(problem, g, batches, lr, phases, beta=0.0):
    """Heat's `step`, GPU by GPU and batch by batch, on P nodes that keep in step; phases: (B, W, local_skip) by epoch."""
    n = problem.n
    x, u = [problem.x0] * n, [torch.zeros_like(problem.x0)] * n
    sync, last, log = True, batches - 1, []
    for B, W, ls in phases:
        sent, turn, before = [], 0, None  # sums under way: (sum, W'), the GPU whose turn it is, the one before

        def receive(group, sent=sent):
            if group is not None and sent:
                total, waited = sent.pop(0)
                numer = 2.0 * waited if waited > 0 else 1.0
                for c in range(group, n, g):
                    x[c] = x[c] * (numer / (n // g + numer)) + total / (n // g + numer)

        def broadcast(group):
            for c in range(n if group is not None else 0):
                x[c] = x[c // g * g + group]

        for b in range(batches):
            grads = [problem.A[c] * x[c] - problem.b[c] for c in range(n)]
            for c in range(n):
                node = range(c // g * g, c // g * g + g)
                mean = sum(grads[o] for o in node) / g if sync else grads[c]
                u[c] = beta * u[c] + lr * mean
            x[:] = [x[c] - u[c] for c in range(n)]
            waited = W if W + b <= last else last - b
            if b == last or B == 0 or b % B == 0:
                sent.append((sum(x[c] for c in range(turn, n, g)), waited))
                if W != 0:
                    if len(sent) > 1:
                        receive(before)
                    broadcast(before)
                if b == last or W == 0:
                    total, _ = sent.pop(0)
                    for c in range(turn, n, g):
                        x[c] = total / (n // g)
                    broadcast(turn)
                    before = None
                else:
                    before = turn
                turn = (turn + 1) % g
            elif (b + 1) % B == 0:
                sync = True
            elif b % B < waited:
                sync = sync or b + 1 == last
            else:
                if b % B == waited:
                    receive(before)
                    broadcast(before)
                    sync = sync and ls <= 1
                if ls == 1 and b + 1 != last:
                    sync = True
                else:
                    if ls and b % ls == 0:
                        sync = False
                    elif ls and (b + 1) % ls == 0:
                        sync = True
                    sync = sync or b + 1 == last
            log.append(list(x))
    return log


@pytest.mark.parametrize("beta", [0.0, 0.6])
@pytest.mark.parametrize("g", [1, 2, 4])
@pytest.mark.parametrize(
    ("batches", "phases"),
    [
        (8, [(0, 0, 0), (4, 1, 1), (2, 1, 1), (1, 1, 1), (8, 2, 2), (0, 0, 0)]),
        (9, [(4, 1, 1)] * 3),
        (13, [(8, 2, 2), (4, 2, 2), (8, 2, 3)]),
        (7, [(2, 1, 1), (4, 3, 1), (3, 3, 1), (1, 1, 1)]),
        (6, [(4, 2, 1), (0, 0, 0), (4, 0, 1)]),
    ],
)
def test_all_options_together_are_the_authors_code(batches, phases, g, beta):
    problem = quadratic(8)
    method = DASO(0.1, per_node=g, epoch=batches, schedule=tuple(phases), momentum=beta, early_return=True, epoch_sync=True)
    log = heat(problem, g, batches, 0.1, phases, beta)
    trace = simulate(EQUAL, method, arrivals=8 * batches * len(phases))
    steps = by_hand(trace, method, problem)
    for batch, models in enumerate(log):
        state = steps[8 * (batch + 1) - 1].after
        mine = [x for node in state.nodes for x in node.models]
        torch.testing.assert_close(torch.stack(mine), torch.stack(models), rtol=1e-12, atol=1e-13)
    assert len({id(x) for x in mine}) == 1  # the last epoch ended with an average


@pytest.mark.parametrize("g", [1, 2, 4])
@pytest.mark.parametrize("beta", [0.0, 0.9])
@pytest.mark.parametrize("blocking", [(0, 0), (1, 0)])
def test_blocking_is_synchronous_minibatch_sgd(g, beta, blocking):
    problem, lr = quadratic(8, sigma=1.0), 0.05
    one = DASO(lr, per_node=g, skip=blocking[0], wait=blocking[1], momentum=beta)
    other = METHODS["sgd_minibatch"](lr, momentum=beta)
    cluster = clusters.Exponential(tuple(range(1, 9)))
    traces = [simulate(cluster, m, arrivals=400, seed=3) for m in (one, other)]
    assert traces[0].end[-1] == traces[1].end[-1]
    x, y = (replay(t, m, problem).attrs["x"] for t, m in zip(traces, (one, other), strict=True))
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def test_one_node_without_waiting_is_synchronous_minibatch_sgd():
    problem = quadratic(4, sigma=1.0)
    methods = DASO(0.1, per_node=4, skip=4, wait=0), METHODS["sgd_minibatch"](0.1)
    x, y = (replay(simulate(RANDOM, m, arrivals=200), m, problem).attrs["x"] for m in methods)
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hyper", [{}, {"skip": 8, "wait": 2}, {"skip": 1, "wait": 1}, {"skip": 2, "wait": 1, "early_return": True}])
@pytest.mark.parametrize("g", [1, 2])
def test_speeds_change_the_clock_and_not_the_models(hyper, g):
    problem, method = quadratic(8), DASO(0.1, per_node=g, **hyper)
    models = []
    for cluster in (EQUAL, clusters.Pareto(tuple(range(1, 9))), clusters.straggler(8, 9.0)):
        trace = simulate(cluster, method, arrivals=1200, seed=1)
        history = {}  # (node, batches): its model
        for step in by_hand(trace, method, problem):
            for p, node in enumerate(step.after.nodes):
                if node.total is None and node.waits is None:
                    history.setdefault((p, node.batches[0]), node.models[0])
        models.append(history)
    shared = set.intersection(*(set(m) for m in models))
    assert len(shared) > 120
    for key in shared:
        for other in models[1:]:
            torch.testing.assert_close(models[0][key], other[key], rtol=1e-11, atol=1e-12)


def test_merge_is_the_printed_formula():
    x, total = torch.tensor([1.0, -2.0]), torch.tensor([10.0, 4.0])
    assert merge(x, total, 1, 4).tolist() == [(2 * 1 + 10) / 6, (2 * -2 + 4) / 6]
    assert merge(x, total, 3, 2).tolist() == [16 / 8, (6 * -2 + 4) / 8]
    assert merge(x, total, 0, 4).tolist() == [2.5, 1.0]


def after_batches(rule, slopes, batches):
    """[(models of the nodes)] after each batch from 0, lr = 1, where GPU i always has the gradient `slopes[i]`."""
    state, log = rule.init(torch.zeros(1, dtype=torch.float64), len(slopes)), []
    for _ in range(batches):
        for worker, slope in enumerate(slopes):
            state = rule.receive(state, Arrival(torch.tensor([slope], dtype=torch.float64), worker, 0, 1.0))
        log.append(tuple(node.models[0].item() for node in state.nodes))
    return log


@pytest.mark.parametrize(
    ("hyper", "slopes", "expected"),
    [
        # P = 2, W = 1: x <- (2 x + sum) / 4. Sums: -1 - 3 = -4 after batch 0, -4 - 10 = -14 after batch 3.
        ({"skip": 3, "wait": 1}, (1, 3), [(-1, -3), (-2, -4), (-3, -7), (-4, -10), (-6, -10), (-7, -13)]),
        # P = 4, W = 2: x <- (4 x + sum) / 8. Sums: -8, and -1 - 1 - 1 - 29 = -32; node 3 comes to -24 and -45 before it merges.
        (
            {"skip": 4, "wait": 2},
            (0, 0, 0, 8),
            [(0, 0, 0, -8), (0, 0, 0, -16), (-1, -1, -1, -13), (-1, -1, -1, -21), (-1, -1, -1, -29), (-1, -1, -1, -37)]
            + [(-4.5, -4.5, -4.5, -26.5)],
        ),
        # Two GPUs a node, mean gradients 2 and 6: (2 * -4 - 8) / 4 = -4 and (2 * -12 - 8) / 4 = -8; then sums of -20.
        ({"per_node": 2, "skip": 2, "wait": 1}, (1, 3, 5, 7), [(-2, -6), (-4, -8), (-6, -14), (-9, -15)]),
        # The early return: what was due after batch 1 is merged after batch 2, once the next sum, -6 - 18 = -24, is sent.
        (
            {"per_node": 2, "skip": 2, "wait": 1, "early_return": True},
            (1, 3, 5, 7),
            [(-2, -6), (-4, -12), (-5, -11), (-7, -17), (-10.5, -17.5)],
        ),
        # Epochs of 4 batches: after batch 2 the sum of batch 0 is merged with W = 2, (4 * -3 - 4) / 6 = -8/3 and (4 * -9 - 4) / 6 = -20/3;
        # the last batch ends with the mean of -11/3 and -29/3, whatever is still on its way.
        (
            {"skip": 2, "wait": 2, "epoch": 4, "epoch_sync": True},
            (1, 3),
            [(-1, -3), (-2, -6), (-8 / 3, -20 / 3), (-20 / 3, -20 / 3), (-23 / 3, -29 / 3)],
        ),
        # Blocking: the mean after every batch.
        ({"skip": 0, "wait": 0}, (1, 3), [(-2, -2), (-4, -4)]),
    ],
)
def test_models_worked_out_by_hand_from_the_printed_formula(hyper, slopes, expected):
    for models, by_pencil in zip(after_batches(DASO(1.0, **hyper).rule, slopes, len(expected)), expected, strict=True):
        assert models == pytest.approx(by_pencil, rel=1e-14)


def test_bfloat16_has_eight_bits():
    x = torch.rand(100_000, dtype=torch.float64) + 1
    error = ((to_bfloat16(x) - x) / x).abs().max()
    assert 0.0038 < error <= 2**-8  # next to 1 the spacing is 2^-7
    assert to_bfloat16(torch.empty(3, 0)).shape == (3, 0) and to_bfloat16(x.float()).dtype == torch.float32


@pytest.mark.parametrize(("skip", "wait", "early"), [(4, 1, False), (8, 2, False), (8, 8, False), (1, 1, False), (2, 1, True)])
def test_the_spread_of_the_nodes_contracts(skip, wait, early):
    rule = DASO(0.1, skip=skip, wait=wait, early_return=early).rule
    state = rule.init(torch.zeros(1, dtype=torch.float64), 4)
    spread = torch.tensor([[-3.0], [1.0], [0.5], [1.5]], dtype=torch.float64)
    state = state._replace(nodes=tuple(node._replace(models=(x,)) for node, x in zip(state.nodes, spread, strict=True)))
    for batch in range(4 * skip + 1):
        for worker in range(4):
            state = rule.receive(state, Arrival(torch.zeros(1, dtype=torch.float64), worker, 0, 1.0))
        merges = batch // skip if early or wait == skip else (batch - wait) // skip + 1 if batch >= wait else 0
        models = torch.stack([node.models[0] for node in state.nodes])
        torch.testing.assert_close(models, spread * (2 * wait / (2 * wait + 4)) ** merges if skip > 1 else models, rtol=1e-12, atol=0)
    assert merges == 4


@pytest.mark.parametrize(
    ("skip", "wait", "early", "efficiency"),
    [(8, 2, False, 0.875), (4, 1, False, 5 / 6), (2, 1, True, 0.6), (2, 1, False, 2 / 3), (1, 1, False, 0.6)],
)
def test_progress_on_a_constant_gradient(skip, wait, early, efficiency):
    method = DASO(0.01, skip=skip, wait=wait, early_return=early)
    trace = simulate(clusters.equal(4), method, arrivals=4 * 8 * 60)
    steps = replay(trace, method, Slope(), every=4 * 8 * 60).attrs["x"].item() / 0.01
    half = replay(trace, method, Slope(), every=4 * 8 * 60, arrivals=4 * 8 * 20).attrs["x"].item() / 0.01
    assert (steps - half) / 320 == pytest.approx(efficiency, rel=1e-9)


@pytest.mark.parametrize("g", [1, 2, 4])
def test_the_gpus_of_a_node_take_turns(g):
    method = DASO(0.1, per_node=g, skip=2, wait=1)
    counter, talkers = Counter(method.rule, 8), []
    trace = simulate(EQUAL, method, arrivals=8 * 24)
    for row in zip(trace.worker.tolist(), trace.read.tolist(), trace.end.tolist(), strict=True):
        before = counter.state
        counter.receive(*row)
        if counter.state.rounds > before.rounds:
            talkers += [i for i in range(g) if counter.state.talks[i] > before.talks[i]]
    assert talkers == [j % g for j in range(12)]  # each GPU once in g B batches
    assert counter.state.sent == 12 * 2 * (8 // g - 1)


def test_turns_begin_anew_with_an_epoch():
    rule = DASO(0.1, per_node=4, skip=4, wait=1, epoch=10, epoch_sync=True).rule
    turns = [rule._sync(batch, 99) for batch in range(20)]
    assert [(b, s.talker, s.wait) for b, s in enumerate(turns) if s] == [(0, 0, 1), (4, 1, 1), (8, 2, 1), (9, 3, 0)] + [
        (10, 0, 1), (14, 1, 1), (18, 2, 1), (19, 3, 0),
    ]  # fmt: skip


def test_momentum_is_not_sent():
    problem, method = quadratic(4), DASO(0.1, momentum=0.9)
    state = by_hand(simulate(FIXED, method, arrivals=100), method, problem)[-1].after
    assert len({tuple(node.momenta[0].tolist()) for node in state.nodes}) == 4


def test_compression_rounds_blocking_sums_only():
    x0 = torch.full((1,), 1 + 2**-10, dtype=torch.float64)
    for skip, wait, rounded, sent in ((0, 0, True, 3), (4, 1, False, 6)):
        rule = DASO(0.1, skip=skip, wait=wait, compress=True).rule
        state = rule.init(x0, 4)
        for worker in range(4):
            state = rule.receive(state, Arrival(torch.zeros(1, dtype=torch.float64), worker, 0, 1.0))
        assert (state.x.item() == 1.0) == rounded and state.sent == sent and rule.collective(state) == (1, 0.5 if rounded else 1.0)


def test_nobody_computes_while_its_node_waits():
    rule = DASO(0.1, per_node=2, skip=2, wait=1).rule
    state, grad = rule.init(torch.zeros(1), 4), torch.ones(1)

    def deliver(state, *workers):
        for worker in workers:
            state = rule.receive(state, Arrival(grad, worker, 0, 1.0))
        return state, [rule.ready(state, w) for w in range(4)]

    state, ready = deliver(state, 0)
    assert ready == [False, True, True, True]  # its batch is not complete
    state, ready = deliver(state, 1)
    assert ready == [True] * 4  # sent, and on to the batch behind which the sum is hidden
    state, ready = deliver(state, 0, 1)
    assert ready == [False, False, True, True] and rule.collective(state)[0] == 0  # node 1 has not sent
    state, ready = deliver(state, 2, 3)
    assert ready == [True] * 4 and rule.collective(state)[0] == 1
    assert [rule.awaits(state, w) for w in range(4)] == [0, 0, None, None]
    state, ready = deliver(state, 2, 3)
    assert [rule.awaits(state, w) for w in range(4)] == [0, 0, 0, 0]
    state, _ = deliver(state, 0, 1)
    assert [rule.awaits(state, w) for w in range(4)] == [None, None, 0, 0]


def test_gpus_do_not_wait_for_each_other_where_gradients_stay_local():
    method = DASO(0.1, per_node=2, skip=8, wait=2, local_skip=4)
    assert [method.rule._averages(b) for b in range(8)] == [True, True, True, False, True, False, False, False]
    trace = simulate(clusters.Fixed((1.0, 3.0)), method, until=24.0)
    assert trace.end[trace.worker == 0].tolist() == [1, 4, 7, 10, 11, 16, 17, 18, 19]  # 3, 5, 6 and 7 end alone
    assert trace.end[trace.worker == 1].tolist() == [3, 6, 9, 12, 15, 18, 21, 24]


def test_a_trace_of_another_policy_is_refused():
    trace = simulate(FIXED, METHODS["asgd"](0.1), arrivals=50)
    with pytest.raises(ValueError, match=r"Worker \d did not wait for the others: give DASO a trace of its own"):
        replay(trace, DASO(0.1), quadratic())


@pytest.mark.parametrize(
    ("hyper", "says"),
    [
        ({"per_node": 0}, "per_node must be a whole number of at least 1"),
        ({"skip": -1}, "skip must be a whole number of at least 0"),
        ({"skip": 2, "wait": 3}, "wait must be at most skip"),
        ({"skip": 0}, "wait must be at most skip"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"cool_down": 2}, "need to know when training ends: epochs=90"),
        ({"warm_up": 2}, "say how many batches a GPU computes in one, epoch=100"),
        ({"epoch": 4, "epochs": 5, "warm_up": 3, "cool_down": 3}, "do not fit into 5; ask for more epochs"),
        ({"epoch_sync": True}, "go by epochs"),
        ({"schedule": ((4, 1), (2, 1))}, "go by epochs"),
        ({"schedule": (4, 1)}, r"A phase is \(skip, wait\)"),
        ({"schedule": ()}, "needs at least one phase"),
        ({"schedule": "falling"}, "or 'plateau'; got 'falling'"),
        ({"schedule": ((4, 1),), "warm_up": 1, "epoch": 5}, "has its warm-up and cool-down in it"),
        ({"schedule": "plateau", "epoch": 10}, "need to know when training ends"),
        ({"schedule": "plateau", "epochs": 10, "epoch_sync": True}, "go by epochs"),
        ({"schedule": "plateau", "epoch": 10, "epochs": 10}, "needs epoch_sync=True"),
    ],
)
def test_senseless_hyperparameters_are_refused(hyper, says):
    with pytest.raises(ValueError, match=says):
        DASO(0.1, **hyper)


def test_nodes_must_be_full():
    with pytest.raises(ValueError, match=r"4 workers do not fill nodes of 3 GPUs; choose a per_node that divides 4"):
        simulate(FIXED, DASO(0.1, per_node=3), arrivals=5)


def test_phases_follow_the_epochs():
    rule = DASO(0.1, epoch=10, epochs=20, warm_up=4, cool_down=3).rule
    assert [rule.phase(10 * e) for e in range(21)] == [Phase(0, 0, 0)] * 4 + [Phase(4, 1, 1)] * 13 + [Phase(0, 0, 0)] * 4
    assert DASO(0.1).rule.phase(10**9) == Phase(4, 1, 1)


def test_a_wait_that_outlives_its_epoch_ends_with_the_next_sum():
    rule = DASO(0.1, skip=4, wait=3, epoch=6).rule  # sums after batches 0, 4 and 6; the one of 4 would be due after 7
    state, merged = rule.init(torch.zeros(1), 2), []
    for batch in range(12):
        for worker in (0, 1):
            state = rule.receive(state, Arrival(torch.ones(1), worker, 0, 1.0))
        merged += [batch] if state.nodes[0].merged and state.nodes[0].merged[1] == batch + 1 else []
        assert len(state.totals) <= 2
    assert merged == [3, 6, 9]


def test_history_counts_rounds_and_bytes():
    method, problem = DASO(0.1, per_node=2), quadratic(8)
    history = replay(simulate(EQUAL, method, arrivals=8 * 9), method, problem, every=8)
    assert history["rounds"].tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert history["bytes"].tolist() == [6 * 40 * r for r in history["rounds"]]  # a ring of four nodes: 2 * 3 vectors of 40 bytes
    assert history["updates"].equals(history["rounds"]) and math.isfinite(history["loss"].iloc[-1])
    assert np.isfinite(history["dist_sq"]).all()
