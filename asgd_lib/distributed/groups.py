"""Who talks to whom in a hierarchy: the GPUs of a node, and the GPUs of one index on all nodes."""

from __future__ import annotations

from datetime import timedelta

import torch.distributed as dist
from torch import Tensor


class Groups:
    """The groups of this process, GPU `index` of node `node`; every process of the default group must make them at the same time."""

    def __init__(self, nodes: int, per_node: int, timeout: float):
        self.nodes, self.per_node = nodes, per_node
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.node, self.index = divmod(self.rank, per_node)
        patience = timedelta(seconds=timeout)
        # Every process makes every group, its own or not, in one order: this is how they meet.
        local = [dist.new_group([p * per_node + i for i in range(per_node)], patience) for p in range(nodes)]
        across = [dist.new_group([p * per_node + i for p in range(nodes)], patience) for i in range(per_node)]
        self._local, self._across = local[self.node], across[self.index]

    def mean_in_node(self, gradient: Tensor) -> Tensor:
        """The mean of the gradients (d,) of the node's GPUs."""
        if self.per_node == 1:
            return gradient
        gradient = gradient.clone()
        dist.all_reduce(gradient, group=self._local)
        return gradient / self.per_node

    def start_sum(self, x: Tensor) -> Sum:
        """Begin to sum the models (d,) of the GPUs of this index on all nodes, in the background."""
        return Sum(x, self._across)

    def spread_in_node(self, x: Tensor, index: int) -> Tensor:
        """The model (d,) of the node's GPU `index`, on all its GPUs."""
        if self.per_node == 1:
            return x
        x = x.clone()
        dist.broadcast(x, src=self.node * self.per_node + index, group=self._local)
        return x

    def mean(self, x: Tensor) -> Tensor:
        """The mean of all processes' tensors."""
        x = x.clone()
        dist.all_reduce(x)
        return x / self.size


class Sum:
    """A sum under way. Starting copies the model, so that it may go on changing."""

    def __init__(self, x: Tensor, group: dist.ProcessGroup):
        self._total = x.clone()
        self._work = dist.all_reduce(self._total, group=group, async_op=True)

    def wait(self) -> Tensor:
        """The sum (d,), once all have sent."""
        self._work.wait()
        return self._total
