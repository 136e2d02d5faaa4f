"""DASO: nodes of fast-linked GPUs that average gradients inside, and parameters between them, asynchronously."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asgd_lib.checks import count, inside, positive
from asgd_lib.rules.base import Arrival
from asgd_lib.rules.daso_schedule import Phase, lengths, phase_of, unroll
from asgd_lib.rules.daso_state import DasoState, Node, Sync, merge, receive_sums, send, to_bfloat16
from asgd_lib.rules.tuples import put

__all__ = ["Daso", "Phase", "merge", "to_bfloat16"]

PLATEAU = "plateau"


@dataclass(frozen=True)
class Daso:
    """Every batch the GPUs of a node step with their mean gradient; every B batches the nodes sum their models, and merge the sum W later.

    n workers are P = n / `per_node` nodes of `per_node` GPUs. Batch b = 0, 1, ... of an epoch: x_p <- x_p - lr mean g (with `momentum`:
    u_p <- beta u_p + lr mean g, x_p <- x_p - u_p; the u_p are never sent). After every B-th batch, b = 0, B, 2 B, ..., one GPU of each node
    (they take turns) sends its model; after W more batches, x_p <- (2 W x_p + sum_q x_q(sent)) / (2 W + P), for all GPUs of node p. W = 0
    is a blocking average. A node that gets there before all others have sent waits for them.

    B = `skip`, W = `wait`, or a `schedule`: a tuple of (B, W[, local_skip]), one an epoch of `epoch` batches, the last one for ever.
    Without one, `warm_up` and `cool_down` epochs at the two ends of `epochs` are blocking. The defaults cycle for ever with B = 4, W = 1:
    what the authors' segmentation runs did, and the first values of their full recipe, which is `warm_up=4, cool_down=4`.
    `schedule="plateau"` lets the loss choose; `plateau_schedule` turns it into numbers.

    What Heat's code does beyond the paper are options, all off:
    `early_return`: a wait of W = B - 1 ends only at the next global sum (the code returns early on the batch before one), so that B = 2,
    W = 1 merges two batches late with the weight of one.
    `epoch_sync`: the last batch of an epoch ends with a blocking average, and the turns of the GPUs begin anew; a sum that would be due
    later weighs less (W is cut) and is received halfway, or not at all.
    `compress`: models are sent as bfloat16 in the blocking phases (we round what is sent and sum in full; Heat sums in bfloat16, too).
    `local_skip` > 1: between receiving a sum and sending the next, gradients are averaged in the node only every `local_skip` batches; the
    models of a node's GPUs drift apart, and at the next sum all but one are thrown away.

    A sum is received at the latest when the next one is sent: in that case the node sends first and merges then, as in the code. Shapes
    (..., d). Source: arXiv:2104.05588; Heat, `heat.optim.DASO`. Raises ValueError where n is not a multiple of `per_node`.
    """

    lr: float | Tensor
    per_node: int = 1
    skip: int = 4
    wait: int = 1
    local_skip: int = 1
    epoch: int | None = None
    epochs: int | None = None
    warm_up: int = 0
    cool_down: int = 0
    schedule: tuple[Phase, ...] | str | None = None
    momentum: float = 0.0
    early_return: bool = False
    epoch_sync: bool = False
    compress: bool = False

    def __post_init__(self):
        positive("lr", self.lr)
        count("per_node", self.per_node)
        inside("momentum", self.momentum, 0.0, 1.0, open_high=True)
        plateau = isinstance(self.schedule, str) and self.schedule == PLATEAU
        cycling = phase_of((self.skip, self.wait, self.local_skip))
        if self.epochs is not None:
            lengths(self.epochs, self.warm_up, self.cool_down)
        elif count("cool_down", self.cool_down, least=0) or plateau:
            raise ValueError("A cool-down and a plateau schedule need to know when training ends: epochs=90, say.")
        if plateau and not self.epoch_sync:
            raise ValueError("A plateau schedule needs epoch_sync=True: an epoch's loss is known when all nodes have ended it.")
        if isinstance(self.schedule, str) and not plateau:
            raise ValueError(f"schedule must be a tuple of (skip, wait) pairs, or 'plateau'; got {self.schedule!r}.")
        fixed = unroll(cycling, count("warm_up", self.warm_up, least=0), self.cool_down, self.epochs)
        given = self.schedule is not None and not isinstance(self.schedule, str)
        if given and (self.warm_up or self.cool_down):
            raise ValueError("A schedule in numbers has its warm-up and cool-down in it: leave warm_up and cool_down at 0.")
        phases = tuple(phase_of(p) for p in self.schedule) if given else fixed
        if not phases:
            raise ValueError("schedule needs at least one phase, (skip, wait).")
        if self.epoch is not None:
            count("epoch", self.epoch)
        elif len(set(phases)) > 1 or self.epoch_sync or plateau:
            raise ValueError("Phases, epoch_sync and plateaus go by epochs: say how many batches a GPU computes in one, epoch=100.")
        object.__setattr__(self, "phases", phases)

    def init(self, x0: Tensor, n: int) -> DasoState:
        if self.schedule == PLATEAU:
            raise ValueError(
                "A plateau schedule depends on losses, which only a problem has: asgd_lib.plateau_schedule(cluster, method, problem) "
                "returns the method with its schedule in numbers."
            )
        if n % self.per_node:
            raise ValueError(f"{n} workers do not fill nodes of {self.per_node} GPUs; choose a per_node that divides {n}.")
        g = self.per_node
        node = Node((x0,) * g, (torch.zeros_like(x0),) * g, (0,) * g, (False,) * g, None)
        return DasoState(0, n, (node,) * (n // g), (), 0, 0, (0,) * g)

    def phase(self, batch: int) -> Phase:
        """How the nodes talk around batch `batch`, counted from 0 over the whole training."""
        return self.phases[0 if self.epoch is None else min(batch // self.epoch, len(self.phases) - 1)]

    def read(self, s: DasoState, worker: int) -> Tensor:
        """The model at which `worker` computes its next gradient."""
        return s.nodes[worker // self.per_node].models[worker % self.per_node]

    def ready(self, s: DasoState, worker: int) -> bool:
        """Whether `worker` may compute: neither its batch nor its node has to wait for others."""
        node = s.nodes[worker // self.per_node]
        return node.waits is None and not node.delivered[worker % self.per_node]

    def reports(self, s: DasoState, worker: int) -> bool:
        """Whether the next gradient of `worker` is averaged within its node."""
        return self._averages(s.nodes[worker // self.per_node].batches[worker % self.per_node])

    def collective(self, s: DasoState) -> tuple[int, float]:
        """How many global sums are complete, and how many vectors of d numbers the last one took: 1, or 1/2 in bfloat16."""
        return s.rounds, 0.5 if s.halved else 1.0

    def awaits(self, s: DasoState, worker: int) -> int | None:
        """The number of the global sum without whose result the next job of `worker` cannot begin; None where it needs no new one."""
        node = s.nodes[worker // self.per_node]
        return node.merged[0] if node.merged and node.merged[1] == node.batches[worker % self.per_node] else None

    def receive(self, s: DasoState, a: Arrival) -> DasoState:
        if not self.ready(s, a.worker):
            raise ValueError(f"Worker {a.worker} did not wait for the others: give DASO a trace of its own, simulate(cluster, method).")
        p, i = divmod(a.worker, self.per_node)
        node = s.nodes[p]
        batch = node.batches[i]
        if not self._averages(batch):
            x, u = self._step(node.models[i], node.momenta[i], a.grad)
            node = node._replace(models=put(node.models, i, x), momenta=put(node.momenta, i, u), batches=put(node.batches, i, batch + 1))
            return s._replace(nodes=put(s.nodes, p, node))
        share = a.grad / self.per_node
        total = share if node.total is None else share.add_(node.total)
        node = node._replace(delivered=put(node.delivered, i, True), total=total)
        if not all(node.delivered):
            return s._replace(nodes=put(s.nodes, p, node))
        return self._talk(s, p, self._batch(node, total), batch)

    def _step(self, x: Tensor, u: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        if not self.momentum:
            return x - self.lr * grad, u
        u = (self.momentum * u).add_(self.lr * grad)
        return x - u, u

    def _batch(self, node: Node, mean: Tensor) -> Node:
        """The node after all its GPUs have stepped with the mean gradient."""
        pairs = list(zip(node.models, node.momenta, strict=True))
        made = {(id(x), id(u)): (x, u) for x, u in pairs}
        made = {key: self._step(x, u, mean) for key, (x, u) in made.items()}
        models, momenta = zip(*(made[id(x), id(u)] for x, u in pairs), strict=True)
        batches = tuple(b + 1 for b in node.batches)
        return node._replace(models=models, momenta=momenta, batches=batches, delivered=(False,) * len(models), total=None)

    def _in_epoch(self, batch: int) -> int:
        return batch if self.epoch is None else batch % self.epoch

    def _ends_epoch(self, batch: int) -> bool:
        return self.epoch is not None and self._in_epoch(batch) == self.epoch - 1

    def _averages(self, batch: int) -> bool:
        """Whether the gradients of this batch are averaged within the node."""
        phase, b = self.phase(batch), self._in_epoch(batch)
        return phase.local_skip <= 1 or b % phase.every <= phase.wait or b % phase.local_skip == 0 or self._ends_epoch(batch)

    def _sync(self, batch: int, number: int) -> Sync | None:
        """The global sum that begins after this batch, or None; it is the node's sum `number`."""
        phase, b = self.phase(batch), self._in_epoch(batch)
        last = self.epoch_sync and self._ends_epoch(batch)
        if b % phase.every and not last:
            return None
        turn = -(-b // phase.every) if self.epoch_sync else number
        before = (turn - 1) % self.per_node if turn else None
        due, wait = phase.wait, 0 if last else phase.wait
        if self.epoch_sync and b + wait >= self.epoch:
            # Heat compares the batches since sending with those left, and misses the odd ones.
            wait = self.epoch - 1 - b
            due = phase.skip if wait % 2 else wait // 2
        if self.early_return and (b + due + 1) % phase.every == 0:
            due = phase.skip
        return Sync(number, turn % self.per_node, wait, batch + due, before)

    def _talk(self, s: DasoState, p: int, node: Node, batch: int) -> DasoState:
        """What node `p` sends after a batch, and what it and those that waited for it receive."""
        sync, due = self._sync(batch, node.sent), node.pending
        if sync is not None:
            x = node.models[sync.talker]
            halved = self.compress and not self.phase(batch).wait
            s = send(s, sync, to_bfloat16(x) if halved else x, halved)
            if sync.before is not None:  # as in Heat, once the model is sent
                node = node._replace(models=(node.models[sync.before],) * self.per_node)
            # The blocking average replaces the model, and with it whatever an earlier sum would have changed.
            waits, pending = (due, sync) if sync.wait else (sync, None)
            node = node._replace(sent=node.sent + 1, pending=pending, waits=waits)
        elif due is not None and due.due <= batch:
            node = node._replace(pending=None, waits=due)
        return receive_sums(s._replace(nodes=put(s.nodes, p, node)))
