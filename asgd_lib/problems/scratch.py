"""Working memory that is used again: fresh pages of a few megabytes cost more than the arithmetic on them."""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor


class Scratch:
    """Buffers by name, as large as the largest request so far; each thread has its own, and copies and pickles take none along."""

    def __init__(self):
        self._own = threading.local()

    def __call__(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """An uninitialised tensor of the dtype and device of `like`; whoever asks for the same name next gets the same memory."""
        size, buffers = math.prod(shape), vars(self._own)
        flat = buffers.get(name)
        fits = flat is not None and flat.numel() >= size and flat.dtype == like.dtype and flat.device == like.device
        if not fits or flat.is_inference() != torch.is_inference_mode_enabled():  # what one mode makes, the other may not write into
            flat = buffers[name] = like.new_empty(size)
        return flat[:size].view(shape)

    def __reduce__(self):
        return Scratch, ()
