"""Replays in torch's inference mode: who gets it, that nothing is left behind in it, and that the numbers are those without."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from cases import RANDOM, quadratic
from problem_cases import NAMES, build, models

from asgd_lib import METHODS, Method, clusters, replay, replayer, simulate
from asgd_lib.inference import without_autograd
from asgd_lib.policies import Greedy
from asgd_lib.problems import Quadratic
from asgd_lib.rules import SGD, Momentum, State

FOUR = clusters.Exponential((1.0, 1.5, 2.0, 9.0))


class ByAutograd(Quadratic):
    """The gradient and the metrics of somebody who lets torch work them out."""

    def grad(self, x, worker, job, seed):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            values = (0.5 * self.A[worker].view(len(worker), 1, 1, -1) * x.view(len(worker), 1, -1, self.d).square()).sum()
            return torch.autograd.grad(values, x)[0]

    def metrics(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            loss = super().metrics(x)["loss"]
            return {"loss": loss.detach(), "grad_norm_sq": torch.autograd.grad(loss.sum(), x)[0].square().sum(-1)}


@dataclass(frozen=True)
class StepByAutograd:
    """x <- x - lr g, g as the derivative of g'x."""

    lr: float

    def init(self, x0, n):
        return State(x0, 0, n)

    def receive(self, s, a):
        with torch.enable_grad():
            x = s.x.detach().requires_grad_()
            return State(s.x - self.lr * torch.autograd.grad((a.grad * x).sum(), x)[0], s.k + 1, s.n)


def run(rule, problem, cluster=RANDOM, **more):
    method = Method(Greedy(), rule, "mine")
    return replay(simulate(cluster, method, arrivals=40), method, problem, every=10, **more)


def mode(problem, rule):
    with without_autograd(problem, rule):
        assert not torch.is_grad_enabled()
        return torch.is_inference_mode_enabled()


def test_ours_has_inference_mode_and_nobody_else():
    mine = ByAutograd(quadratic().A, quadratic().b)
    for name in NAMES:
        assert mode(build(name), SGD(0.1)) == (name not in ("SmallCNN", "ResNet", "TorchModule", "CharLM"))
    assert mode(quadratic(), Momentum(0.1, of=partial(Momentum, of=SGD)))
    assert not mode(quadratic(), StepByAutograd(0.1)) and not mode(mine, SGD(0.1))
    assert not mode(quadratic(), Momentum(0.1, of=partial(Momentum, of=StepByAutograd)))


@pytest.mark.parametrize("rule", [StepByAutograd(0.1), Momentum(0.1, of=StepByAutograd), SGD(0.1)])
def test_what_uses_autograd_may(rule):
    """Somebody's problem and rule, and ours beside them, give what formulas give."""
    free = Quadratic(quadratic().A, 0 * quadratic().b, x0=torch.ones(5))
    formulas = run(Momentum(0.1) if isinstance(rule, Momentum) else SGD(0.1), free)
    for problem in (free, ByAutograd(free.A, free.b, x0=free.x0)):
        found = run(rule, problem)
        torch.testing.assert_close(found.attrs["x"], formulas.attrs["x"], rtol=1e-14, atol=0, check_dtype=True)
        assert found["loss"].tolist() == pytest.approx(formulas["loss"].tolist(), rel=1e-13)


def test_last_models_are_ordinary_tensors():
    x = run(SGD(0.1), quadratic(sigma=1.0), seeds=[0, 1]).attrs["x"]
    assert not x.is_inference()
    weight = torch.ones(2, dtype=x.dtype, requires_grad=True)
    (weight @ (x * x)).sum().backward()
    assert torch.equal(weight.grad, (x * x).sum(-1))


def test_what_a_quadratic_keeps_is_ordinary():
    """Its minimiser is first worked out within the replay."""
    problem = quadratic(sigma=1.0)
    run(SGD(0.1), problem)
    x = (problem.minimiser + 1).requires_grad_()
    loss = problem.loss(x)
    loss.backward()
    torch.testing.assert_close(x.grad, problem.full_grad(x.detach()))
    problem.minimiser.add_(0.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_serves_in_and_out_of_replays_in_turn(name):
    """What it keeps in one mode may not be written into in the other."""
    problem, x = build(name), models(build(name), 3)
    numbers = [torch.tensor(values) for values in ((0, 1, 3), (0, 0, 5), (0,))]

    def outside():
        return problem.grad(x.unsqueeze(1), *numbers), problem.full_grad(x), *problem.metrics(x).values()

    before, first = outside(), run(SGD(0.1), problem, FOUR)
    after, second = outside(), run(SGD(0.1), problem, FOUR)
    assert all(map(torch.equal, before, after)) and not any(value.is_inference() for value in after)
    assert first.equals(second)


@pytest.mark.parametrize("problem", [quadratic(sigma=1.0), build("MLP"), build("Softmax")], ids=repr)
def test_numbers_are_those_of_the_other_mode(problem, monkeypatch):
    """For all methods of the table, bit by bit."""
    cluster = RANDOM if isinstance(problem, Quadratic) else FOUR
    for name in METHODS:
        method = METHODS[name](0.01)
        trace = simulate(cluster, method, arrivals=60)
        quick = replay(trace, method, problem, every=20)
        with monkeypatch.context() as patch:
            patch.setattr(replayer, "without_autograd", lambda *_: torch.no_grad())
            plain = replay(trace, method, problem, every=20)
        assert quick.equals(plain) and torch.equal(quick.attrs["x"], plain.attrs["x"]), name
