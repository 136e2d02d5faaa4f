"""Synchronous data-parallel training by torch's own DistributedDataParallel, with a problem's gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from asgd_lib.distributed.gpu import Gpu

FORWARD = 1 / 3
"""The share of a batch that has passed before the first piece of the gradient is there: a backward pass is two forward passes."""


def train_ddp(gpu: Gpu, lr: float, momentum: float, batches: int, epochs: int, pieces: int = 1) -> Tensor:
    """The models (epochs + 1, d) of this process at the start and after every epoch of `batches` batches.

    The model's parameters are `pieces` runs of x of even length, each with a bucket of its own: the backward pass, spread over the last two
    thirds of a batch's seconds, finishes them from the last to the first, and DistributedDataParallel sums each as soon as it is finished,
    behind the computation of the next. One piece overlaps nothing. The optimiser is torch.optim.SGD.
    """
    module = _Pieces(gpu, pieces)
    bucket = max(p.nbytes for p in module.parts) / 2**20
    parallel = DistributedDataParallel(module, bucket_cap_mb=bucket)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=lr, momentum=momentum)
    models = [module.flat()]
    gpu.together()
    for batch in range(epochs * batches):
        with torch.enable_grad():
            optimizer.zero_grad()
            parallel(batch).backward()
        optimizer.step()
        if (batch + 1) % batches == 0:
            models.append(module.flat())
        gpu.ready()
    return torch.stack(models)


class _Pieces(nn.Module):
    """A model whose loss has the gradient that the problem gives, piece by piece."""

    def __init__(self, gpu: Gpu, pieces: int):
        super().__init__()
        self._gpu = gpu
        self.parts = nn.ParameterList(nn.Parameter(part.clone()) for part in gpu.problem.x0.tensor_split(pieces))

    def flat(self) -> Tensor:
        """A copy of the parameters (d,)."""
        return torch.cat([p.detach() for p in self.parts])

    def forward(self, batch: int) -> Tensor:
        gradient = self._gpu.begin(self.flat(), batch)
        sizes = [len(p) for p in self.parts]
        value, d = gradient.new_zeros(()), len(gradient)
        for i, (part, own) in enumerate(zip(self.parts, gradient.split(sizes), strict=True)):
            remaining = sum(sizes[i:]) / d  # of the backward pass, once this piece is done
            value = _Piece.apply(value, part, own, self._gpu, FORWARD + (1 - FORWARD) * remaining, i == 0)
        return value


class _Piece(torch.autograd.Function):
    """Passes the value on; backwards, waits for its time and hands out the gradient it was given."""

    @staticmethod
    def forward(ctx, value: Tensor, part: Tensor, gradient: Tensor, gpu: Gpu, share: float, last: bool) -> Tensor:
        ctx.gradient, ctx.gpu, ctx.share, ctx.last = gradient, gpu, share, last
        return value.clone()

    @staticmethod
    def backward(ctx, upstream: Tensor):
        ctx.gpu.until(ctx.share)
        if ctx.last:
            ctx.gpu.end()
        return upstream, ctx.gradient.clone(), None, None, None, None
