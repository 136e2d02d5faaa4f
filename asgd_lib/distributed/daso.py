"""One GPU of a real DASO job. When to send and to receive is asked of the rule itself, at work on a model without coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.distributed.gpu import Gpu
from asgd_lib.distributed.groups import Groups, Sum
from asgd_lib.rules import Arrival
from asgd_lib.rules.daso import Daso, merge


class Send(NamedTuple):
    """A global sum that a node takes part in."""

    number: int  # of the global sum
    talker: int  # index of the GPUs that sum
    wait: int  # W of the merge
    halved: bool  # sent as bfloat16


class Action(NamedTuple):
    """What a node does with and after one batch."""

    averages: bool  # the gradients of its GPUs
    sends: Send | None
    copies: int | None  # index of the GPU whose model all GPUs of the node take over, after sending
    receives: Send | None  # after both


def plan(rule: Daso, n: int) -> Iterator[Action]:
    """Batch by batch what every node does: read off the rule's own state as `n` workers in lockstep would drive it.

    It holds for any speeds, because a node sends and receives by its own count of batches, and waits for the others where it must.
    """
    state, nothing = rule.init(torch.empty(0), n), torch.empty(0)
    known: dict[int, Send] = {}
    apart = False  # whether the models of a node's GPUs may differ
    while True:
        before, averages = state, rule.reports(state, 0)
        for worker in range(n):
            state = rule.receive(state, Arrival(nothing, worker, 0, 0.0))
        old, new = before.nodes[0], state.nodes[0]
        apart |= not averages
        sends = copies = receives = None
        if new.sent > old.sent:
            talker = next(i for i, talks in enumerate(state.talks) if talks > before.talks[i])
            blocking = new.pending is None
            sends = known[old.sent] = Send(old.sent, talker, 0 if blocking else new.pending.wait, state.halved)
            if apart and not blocking:
                copies = new.pending.before
        if new.merged is not None and new.merged != old.merged:
            receives = known.pop(new.merged[0])
        if not rule.momentum:  # different momenta soon part the models again
            apart &= copies is None and receives is None
        yield Action(averages, sends, copies, receives)


def train_daso(gpu: Gpu, rule: Daso, groups: Groups, batches: int, epochs: int) -> Tensor:
    """The models (epochs + 1, d) of this GPU at the start and after every epoch of `batches` batches.

    A sum runs in the background from the batch that sends it to the batch that receives it; only what is left of it then is waited for.
    Momentum is this GPU's own. Models sent as bfloat16 are also summed in bfloat16, as Heat does.
    """
    x = gpu.problem.x0.clone()
    u = torch.zeros_like(x)
    models, under_way, actions = [x], {}, plan(rule, groups.size)
    gpu.together()
    for batch in range(epochs * batches):
        gradient = gpu.gradient(x, batch)
        action = next(actions)
        if action.averages:
            gradient = groups.mean_in_node(gradient)
        if rule.momentum:
            u = rule.momentum * u + rule.lr * gradient
        x = x - (u if rule.momentum else rule.lr * gradient)
        if action.sends is not None and action.sends.talker == groups.index:
            sent = x.to(torch.bfloat16) if action.sends.halved else x
            under_way[action.sends.number] = groups.start_sum(sent)
        if action.copies is not None:
            x = groups.spread_in_node(x, action.copies)
        if action.receives is not None:
            x = _receive(action.receives, x, under_way, groups)
        if (batch + 1) % batches == 0:
            models.append(x)
        gpu.ready()
    for number in sorted(under_way):
        under_way[number].wait()
    return torch.stack(models)


def _receive(sent: Send, x: Tensor, under_way: dict[int, Sum], groups: Groups) -> Tensor:
    """The node's model after it has received a sum; the GPU that sent it merges, and hands its model on."""
    if sent.talker == groups.index:
        totals = {number: under_way.pop(number).wait() for number in sorted(under_way) if number <= sent.number}
        x = merge(x, totals[sent.number].to(x.dtype), sent.wait, groups.nodes)
    return groups.spread_in_node(x, sent.talker)
