"""Rules that take several arrivals at once: the states of `receive`, bit by bit, and no tensor of anybody else's touched."""

from dataclasses import dataclass

import pytest
import torch
from cases import CASES, RANDOM, by_hand, quadratic, tensors

from asgd_lib import METHODS, Row, partition, replay, simulate
from asgd_lib.policies import Greedy
from asgd_lib.problems import LeastSquares, Quadratic
from asgd_lib.rules import SGD, Arrival, Arrivals
from asgd_lib.shortcuts import offers

OFFERED = [name for name, (method, hyper) in CASES.items() if offers(METHODS[method](0.1, **hyper).rule, "receive_all", "receive")]


def test_asgd_offers_it():
    assert "asgd" in OFFERED


def same(one, other):
    """Whether two states, or parts of states, are alike to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 200), (2, 40_000)])
@pytest.mark.parametrize("name", OFFERED)
def test_several_arrivals_at_once_are_the_same_one_after_the_other(name, shape, dtype):
    method, hyper = CASES[name]
    runs = shape[:-1]
    lr = torch.linspace(0.1, 0.3, runs[0], dtype=dtype).view(-1, 1) if runs else 0.1
    rule = METHODS[method](lr, **hyper).rule
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(shape, generator=generator, dtype=dtype)
    grads = [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(23)]
    kept = [t.clone() for t in (x0, *grads)]
    workers, read_k, seconds = [0, 1, 2, 3, 1, 0] + [3, 1, 2, 0] * 4 + [2], [0] * 23, [1.0] * 23
    state = start = rule.init(x0, 4)
    plain = []
    for grad, worker, read, s in zip(grads, workers, read_k, seconds, strict=True):
        state = rule.receive(state, Arrival(grad, worker, state.k - read, s))
        plain.append(state)
    together = []
    for one, other in zip(plain, rule.receive_all(start, Arrivals(grads, workers, read_k, seconds)), strict=True):
        assert same(one, other)  # now: the next may be written over it
        together.append(other)
    assert len(together) == 23 and all(torch.equal(one.x, other.x) for one, other in zip(plain, together, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kept, (x0, *grads), strict=True))
    assert all(state.x.untyped_storage().nbytes() <= max(state.x.nbytes, 32 << 10) for state in together)  # workers hold models for long
    held = {t.data_ptr() for state in together for t in tensors(state)}
    assert not held & {g.data_ptr() for g in grads}  # a gradient is a view into a block that somebody else will use again


@dataclass(frozen=True)
class Halved(SGD):
    """Somebody's variant of a rule that has `receive_all`; only `receive` is changed."""

    def receive(self, s, a):
        return super().receive(s, a._replace(grad=0.5 * a.grad))


def test_a_changed_receive_is_what_counts():
    assert offers(METHODS["asgd"](0.1).rule, "receive_all", "receive") and not offers(Halved(0.1), "receive_all", "receive")
    assert not offers(object(), "receive_all", "receive")
    trace, problem = simulate(RANDOM, METHODS["asgd"](0.1), arrivals=60), quadratic()
    changed = replay(trace, Row(Greedy(), Halved, "test")(0.1), problem, every=60).attrs["x"]
    assert torch.equal(changed, replay(trace, METHODS["asgd"](0.05), problem, every=60).attrs["x"])


class Uphill(Quadratic):
    """Somebody's variant of a problem that has `grad_at`; only `grad` is changed."""

    def grad(self, x, worker, job, seed):
        return -super().grad(x, worker, job, seed)


def test_a_changed_grad_is_what_counts():
    trace, plain = simulate(RANDOM, METHODS["asgd"](0.1), arrivals=40), quadratic(sigma=1.0)
    changed = Uphill(plain.A, plain.b, sigma=1.0, x0=plain.x0)
    x = replay(trace, METHODS["asgd"](0.1), changed, every=40).attrs["x"]
    assert torch.equal(x[0], by_hand(trace, METHODS["asgd"](0.1), changed)[-1].after.x)
    assert not torch.equal(x, replay(trace, METHODS["asgd"](0.1), plain, every=40).attrs["x"])
    plain.grad = changed.grad  # and so is one put on the object
    assert torch.equal(x, replay(trace, METHODS["asgd"](0.1), plain, every=40).attrs["x"])


@pytest.mark.parametrize("portion", [1, 200])
def test_draws_made_in_small_portions_are_the_same_draws(monkeypatch, portion):
    X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = LeastSquares(X, X.sum(1), partition.iid(60, 4), batch=2)
    trace, method = simulate(RANDOM, METHODS["asgd"](0.1), arrivals=200), METHODS["asgd"](0.1)
    for problem in (samples, quadratic(sigma=1.0)):
        whole, drawn = replay(trace, method, problem, seeds=[0, 5]).attrs["x"], []
        with monkeypatch.context() as patch:
            patch.setattr("asgd_lib.wavefront._DRAW_BYTES", portion)
            patch.setattr(problem, "draws", lambda w, j, s, draws=problem.draws, drawn=drawn: drawn.append(len(j)) or draws(w, j, s))
            assert torch.equal(replay(trace, method, problem, seeds=[0, 5]).attrs["x"], whole)
        assert sum(drawn) == 200 and max(drawn) < 50
