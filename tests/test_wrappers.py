"""What any rule may wear: momentum, clipping and weight decay against loops written out, alone and one in another."""

import dataclasses
import pickle
from functools import partial

import pytest
import torch
from cases import FIXED, RANDOM, by_hand, quadratic, tensors

from asgd_lib import METHODS, Method, clusters, replay, rules, simulate
from asgd_lib.policies import Barrier, Greedy
from asgd_lib.rules import (
    SGD,
    SMEGA2,
    Arrival,
    Buffered,
    Clipped,
    Decayed,
    DelayAdaptive,
    DuDe,
    HogwildLocal,
    MindFlayer,
    Momentum,
    NaiveMomentum,
    update_delays,
)

LR, BETA = 0.05, 0.8
ASGD = METHODS["asgd"](LR)
TRACE = simulate(RANDOM, ASGD, arrivals=120, seed=1)
WORN = {
    "momentum": Momentum(LR, BETA),
    "momentum of dude": Momentum(LR, BETA, of=partial(DuDe, n_arrivals=2)),
    "momentum of dropping": Momentum(LR, BETA, of=partial(DelayAdaptive, drop=True)),
    "momentum of clipped": Momentum(LR, BETA, of=partial(Clipped, radius=0.5)),
    "clipped": Clipped(LR, 0.5),
    "clipped dropping": Clipped(LR, 0.5, of=partial(DelayAdaptive, drop=True)),
    "decayed": Decayed(LR, 0.1),
    "decayed clipped ormo": Decayed(LR, 0.1, of=partial(Clipped, of=rules.OrMo)),
    "decayed momentum": Decayed(LR, 0.1, of=partial(Momentum, momentum=0.9)),
}
every_rule = pytest.mark.parametrize("rule", WORN.values(), ids=WORN)


def states(rule, trace=TRACE, sigma=1.0):
    return [step.after for step in by_hand(trace, Method(Greedy(), rule), quadratic(sigma=sigma))]


def test_momentum_of_asgd_is_naive_momentum_bit_by_bit():
    for worn, naive in zip(states(Momentum(LR, BETA)), states(NaiveMomentum(LR, BETA)), strict=True):
        assert torch.equal(worn.x, naive.x) and torch.equal(worn.u, naive.u) and worn.k == naive.k


def test_momentum_zero_is_the_rule_itself_to_rounding():
    # The step is taken from zero and then added: another rounding for rules that sum before they step.
    for of in (SGD, DelayAdaptive, partial(DuDe, n_arrivals=2), partial(Buffered, size=3)):
        for worn, plain in zip(states(Momentum(LR, 0.0, of=of)), states(of(LR)), strict=True):
            torch.testing.assert_close(worn.x, plain.x, rtol=1e-13, atol=1e-14)
            assert worn.k == plain.k


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_of_minibatch_sgd_is_synchronous_heavy_ball(momentum):
    problem, method = quadratic(), METHODS["sgd_minibatch"](LR, momentum=momentum)
    assert method.policy == Barrier()
    steps = by_hand(simulate(FIXED, method, arrivals=160), method, problem)
    x, u = problem.x0, torch.zeros_like(problem.x0)
    for r in range(40):
        u = momentum * u + LR * (problem.A * x - problem.b).mean(0)
        x = x - u
        assert [step.after.k for step in steps[4 * r : 4 * r + 4]] == [r, r, r, r + 1]
        assert torch.equal(steps[4 * r + 2].after.x, steps[4 * r].before.x)  # nothing moves until the last has come
        torch.testing.assert_close(steps[4 * r + 3].after.x, x, rtol=1e-13, atol=1e-14)


def test_momentum_and_decay_around_it_are_torchs_sgd():
    problem = quadratic(1)
    x = problem.x0.clone().requires_grad_()
    optimiser = torch.optim.SGD([x], lr=LR, momentum=0.9, weight_decay=0.1)
    trace = simulate(clusters.Fixed((1.0,)), ASGD, arrivals=100)
    for step in by_hand(trace, Method(Greedy(), WORN["decayed momentum"]), problem):
        x.grad = (problem.A[0] * x - problem.b[0]).detach()
        optimiser.step()
        torch.testing.assert_close(step.after.x, x.detach(), rtol=1e-12, atol=1e-13)


def test_clipping_shortens_gradients_beyond_the_radius_each_run_its_own():
    rule = Clipped(1.0, 2.0)
    state = rule.init(torch.zeros(4, 2, dtype=torch.float64), 3)
    grads = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [0.0, -2.0]], dtype=torch.float64)
    after = rule.receive(state, Arrival(grads, 0, 0, 1.0))
    expected = torch.tensor([[1.2, 1.6], [0.3, 0.4], [0.0, 0.0], [0.0, -2.0]], dtype=torch.float64)
    torch.testing.assert_close(-after.x, expected, rtol=1e-15, atol=0)
    assert after.k == 1


def test_a_radius_beyond_every_gradient_changes_nothing():
    for worn, plain in zip(states(Clipped(LR, 1e9)), states(SGD(LR)), strict=True):
        assert torch.equal(worn.x, plain.x)
    assert not torch.equal(states(Clipped(LR, 0.5))[-1].x, states(SGD(LR))[-1].x)


@pytest.mark.parametrize("radius", [0.5, 1e9])
def test_momentum_of_clipped_gradients_adds_up_each_of_them_once(radius):
    problem, worn = quadratic(sigma=1.0), partial(Clipped, radius=radius)
    x, u = problem.x0, torch.zeros_like(problem.x0)
    for step in by_hand(TRACE, Method(Greedy(), Momentum(LR, BETA, of=partial(Clipped, radius=1e9, of=worn))), problem):
        grad = step.arrival.grad
        u = BETA * u + LR * grad * min(1.0, radius / float(grad.norm()))
        x = x - u
        torch.testing.assert_close(step.after.x, x, rtol=1e-12, atol=1e-13)


def test_momentum_of_momentum_is_momentum_of_its_steps():
    problem = quadratic(sigma=1.0)
    x, u, v = problem.x0, torch.zeros_like(problem.x0), torch.zeros_like(problem.x0)
    for step in by_hand(TRACE, Method(Greedy(), Momentum(LR, BETA, of=partial(Momentum, momentum=0.5))), problem):
        v = 0.5 * v + LR * step.arrival.grad
        u = BETA * u + v
        x = x - u
        torch.testing.assert_close(step.after.x, x, rtol=1e-12, atol=1e-13)


def test_decay_adds_a_share_of_the_model_on_arrival():
    problem = quadratic(sigma=1.0)
    for step in by_hand(TRACE, Method(Greedy(), Decayed(LR, 0.1)), problem):
        expected = step.before.x - LR * (step.arrival.grad + 0.1 * step.before.x)
        torch.testing.assert_close(step.after.x, expected, rtol=1e-14, atol=1e-15)
    assert torch.equal(states(Decayed(LR, 0.0))[-1].x, states(SGD(LR))[-1].x)


def test_a_gradient_thrown_away_leaves_the_very_state():
    trace = simulate(clusters.straggler(4, 30.0), ASGD, arrivals=200)
    for name in ("momentum of dropping", "clipped dropping"):
        method = Method(Greedy(), WORN[name])
        steps, history = by_hand(trace, method, quadratic()), replay(trace, method, quadratic(), every=200)
        thrown = [step.after is step.before for step in steps]
        assert thrown == (update_delays(trace, method.rule) + 1 > 8).tolist()
        assert 0 < sum(thrown) and history["used"].iloc[-1] == history["updates"].iloc[-1] == 200 - sum(thrown)


@every_rule
def test_worn_rules_are_pure_and_pickle(rule):
    assert repr(pickle.loads(pickle.dumps(rule))) == repr(rule)  # partial functions compare by identity
    state = rule.init(quadratic().x0, 4)
    for e, worker in enumerate(TRACE.worker[:40].tolist()):
        grad = torch.full((5,), 0.1 * e, dtype=torch.float64)
        inputs = [t for t in tensors(state) if t is not None] + [grad]
        kept, versions = [t.clone() for t in inputs], [t._version for t in inputs]
        after, again = (rule.receive(state, Arrival(grad, worker, e % 7, 1.0)) for _ in range(2))
        assert [t._version for t in inputs] == versions
        assert all(torch.equal(t, k) for t, k in zip(inputs, kept, strict=True))
        assert torch.equal(after.x, again.x) and after.k == again.k and after.n == 4
        state = after
    assert state.k > 0


@every_rule
def test_worn_runs_together_are_the_runs_alone(rule):
    changes = [{"lr": lr} for lr in (0.01, 0.02, 0.03, 0.05, 0.08)]
    if isinstance(rule, Momentum):
        changes = [c | {"momentum": 0.17 * i} for i, c in enumerate(changes)]
    methods = [Method(Greedy(), dataclasses.replace(rule, **change)) for change in changes]
    problem, calls = quadratic(sigma=1.0), []
    grad = problem.grad
    problem.grad = lambda *a: calls.append(0) or grad(*a)
    together = replay(TRACE, methods, problem, seeds=(0, 3), every=120).attrs["x"]
    batched = len(calls)
    for i, method in enumerate(methods):
        alone = replay(TRACE, method, problem, seeds=(0, 3), every=120).attrs["x"]
        assert torch.equal(together[2 * i : 2 * i + 2], alone)
    assert len(calls) == 6 * batched  # one batch
    assert torch.equal(by_hand(TRACE, methods[2], quadratic(sigma=1.0), 3)[-1].after.x, together[5])


@pytest.mark.parametrize("wrapper", [Momentum, Clipped, Decayed])
@pytest.mark.parametrize("of", [HogwildLocal, SMEGA2])
def test_rules_whose_workers_have_models_of_their_own_cannot_be_worn(wrapper, of):
    with pytest.raises(ValueError, match=f"{wrapper.__name__} cannot wrap {of.__name__}, whose workers have models of their own"):
        wrapper(LR, of=of)


@pytest.mark.parametrize("of", [Decayed, partial(Clipped, of=Decayed)])
def test_decay_inside_momentum_is_refused(of):
    # There the model is the step since the last update: nothing would decay.
    with pytest.raises(ValueError, match="put Decayed around Momentum, not into it"):
        Momentum(LR, of=of)


@pytest.mark.parametrize("of", [MindFlayer, rules.Vecna, partial(Clipped, of=MindFlayer)])
def test_momentum_does_not_wrap_a_rule_that_steps_bit_by_bit(of):
    # Its update is counted with the first gradient of a round, and what the others add would come a round late.
    with pytest.raises(ValueError, match="Momentum cannot wrap (MindFlayer|Vecna), whose steps go on after they are counted"):
        Momentum(LR, of=of)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Momentum(LR, 1.0), r"momentum must be in \[0, 1\); got 1.0"),
        (lambda: Momentum(0.0), "lr must be a finite number above 0; got 0.0"),
        (lambda: Clipped(LR, 0.0), "radius must be a finite number above 0; got 0.0"),
        (lambda: Clipped(-1.0), "lr must be a finite number above 0; got -1.0"),
        (lambda: Decayed(LR, -1e-4), "weight_decay must be a finite number of at least 0; got -0.0001"),
        (lambda: Decayed("0.1"), "lr must be a finite number above 0; got '0.1'"),
    ],
)
def test_senseless_numbers_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
