"""Cross-entropy of scores that lie class by class, (M, classes, B): along the samples the arithmetic runs in whole vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax_residual(z: Tensor, y: Tensor) -> Tensor:
    """Derivative softmax(z) - onehot(y) of each sample's loss in its scores, (M, classes, B), for labels `y` (M, B)."""
    minus_one = torch.full((), -1.0, dtype=z.dtype, device=z.device).expand(len(z), 1, z.shape[-1])
    return torch.softmax(z, 1).scatter_add_(1, y.unsqueeze(1), minus_one)


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Loss log(sum_c exp z_c) - z_y of each sample, (M, B)."""
    return torch.logsumexp(z, 1) - z.gather(1, y.unsqueeze(1)).squeeze(1)
