"""What DASO's nodes know, and the formulas by which they merge models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from asgd_lib.rules.tuples import put


def merge(x: Tensor, total: Tensor, wait: int, nodes: int) -> Tensor:
    """A node's model `x` (..., d) after it has received `total` (..., d), the sum of the models that `nodes` nodes sent `wait` batches ago.

    (2 W x + total) / (2 W + P), and total / P for W = 0, the blocking average. Source: Heat, `_gs_rcv_update_params`; arXiv:2104.05588.
    """
    return (2.0 * wait * x + total) / (2.0 * wait + nodes) if wait else total / nodes


def to_bfloat16(x: Tensor) -> Tensor:
    """`x` rounded to the nearest bfloat16, in its own dtype: relative error up to 2^-8 = 0.004, on average about 0.7 of 2^-9."""
    return x.to(torch.bfloat16).to(x.dtype)


class Sync(NamedTuple):
    """One global sum as a node that sent to it remembers it."""

    number: int  # 0, 1, ...
    talker: int  # index within the node of the GPU that sent, and that receives
    wait: int  # W; 0 is a blocking average
    due: int  # batch after which the node receives it, if no later sum is sent before
    before: int | None = None  # the GPU that talked last time hands its model to the others of its node, where they have drifted apart


class Node(NamedTuple):
    models: tuple[Tensor, ...]  # (..., d), GPU by GPU; one object where they are equal
    momenta: tuple[Tensor, ...]  # (..., d), in units of steps; never sent
    batches: tuple[int, ...]  # that each GPU has completed
    delivered: tuple[bool, ...]  # whether each GPU's gradient of the batch is in `total`
    total: Tensor | None  # (..., d) sum of the gradients of the batch so far, over per_node
    sent: int = 0  # global sums that the node has sent to
    pending: Sync | None = None  # sent, and not to be received yet
    waits: Sync | None = None  # the node stands still until this sum is complete
    merged: tuple[int, int] | None = None  # number of the last sum received, and the batch that began with it


class Total(NamedTuple):
    number: int
    value: Tensor  # (..., d) sum of the models sent so far
    count: int  # nodes that have sent


class DasoState(NamedTuple):
    k: int  # complete global sums
    n: int
    nodes: tuple[Node, ...]
    totals: tuple[Total, ...]  # sums that some node has yet to send to or to receive
    rounds: int  # complete global sums
    sent: int  # vectors of d numbers that crossed between nodes, in a ring: 2 (P - 1) a sum, half as many in bfloat16
    talks: tuple[int, ...]  # global sums by talking GPU
    halved: bool = False  # the last complete sum was in bfloat16

    @property
    def x(self) -> Tensor:
        """(..., d) the mean of all GPUs' models."""
        return _mean([_mean(node.models) for node in self.nodes])


def _mean(models: Sequence[Tensor]) -> Tensor:
    """The mean; the model itself where all are the same object."""
    return models[0] if all(x is models[0] for x in models) else torch.stack(tuple(models)).mean(0)


def send(s: DasoState, sync: Sync, x: Tensor, halved: bool) -> DasoState:
    """The state after one more node has sent `x` to a global sum."""
    nodes = len(s.nodes)
    place = next((j for j, t in enumerate(s.totals) if t.number == sync.number), None)
    before = None if place is None else s.totals[place]
    total = Total(sync.number, x if before is None else before.value + x, 1 if before is None else before.count + 1)
    s = s._replace(totals=s.totals + (total,) if before is None else put(s.totals, place, total))
    if total.count < nodes:
        return s
    talks = put(s.talks, sync.talker, s.talks[sync.talker] + 1)
    crossed = (nodes - 1) * (1 if halved else 2)
    return s._replace(k=s.k + 1, rounds=s.rounds + 1, sent=s.sent + crossed, talks=talks, halved=halved)


def receive_sums(s: DasoState) -> DasoState:
    """The state after all nodes whose sums are complete have received them."""
    values, made, nodes = {t.number: t.value for t in s.totals}, {}, []
    for node in s.nodes:
        if node.waits is not None and node.waits.number < s.rounds:
            number, talker, wait, _, _ = node.waits
            x = node.models[talker]
            key = (number, id(x) if wait else None)  # nodes that average all get one and the same model
            if key not in made:
                made[key] = merge(x, values[number], wait, len(s.nodes))
            node = node._replace(models=(made[key],) * len(node.models), waits=None, merged=(number, node.batches[0]))
        nodes.append(node)
    needed = min((node.waits or node.pending or Sync(node.sent, 0, 0, 0)).number for node in nodes)
    return s._replace(nodes=tuple(nodes), totals=tuple(t for t in s.totals if t.number >= needed))
