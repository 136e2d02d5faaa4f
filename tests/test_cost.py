"""Counting what a server step writes, on rules whose arithmetic is known."""

import pytest
import torch

from asgd_lib.rules import MIFA, SGD, Arrival, DuDe, numbers_written


def test_it_counts_the_numbers_in_the_tensors_that_operations_return():
    x = torch.ones(3, 4)
    result, written = numbers_written(lambda a: (a * 2 + a).sum(0), x)
    assert torch.equal(result, torch.full((4,), 9.0))
    assert written == 12 + 12 + 4
    assert numbers_written(lambda: 5) == (5, 0)


def test_one_step_of_asgd_writes_two_d():
    rule = SGD(0.1)
    state, written = numbers_written(rule.receive, rule.init(torch.zeros(7), 3), Arrival(torch.ones(7), 0, 0, 1.0))
    assert written == 2 * 7
    assert torch.equal(state.x, torch.full((7,), -0.1))


@pytest.mark.parametrize("rule", [DuDe(0.1), MIFA(0.1, participation=0.01)], ids=repr)
@pytest.mark.parametrize("n", [2, 5, 40])
def test_one_step_with_the_table_writes_six_d_whatever_the_number_of_workers(rule, n):
    state = rule.init(torch.zeros(7), n)
    for i in range(n):
        state = rule.receive(state, Arrival(torch.ones(7), i, 0, 1.0))
    after, written = numbers_written(rule.receive, state, Arrival(2 * torch.ones(7), 1, 0, 1.0))
    assert after.k == state.k + 1
    assert written == 6 * 7
