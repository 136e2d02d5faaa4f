"""Randomness as a pure function of (seed, stream, counters): no generator, no state, no order of calls.

A draw is a hash of its coordinates, so the same job sees the same noise whether it is simulated or replayed, alone or in a batch, on one
machine or on another, and two methods compared on one trace see the same samples. The hash is the finaliser of SplitMix64 (Steele, Lea
and Flood 2014) folded over the coordinates; integers wrap modulo 2**64 and are exact on every device.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_TWO_PI = 2.0 * math.pi


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64 (shifts made logical by masks), in the memory of `z`."""
    z.bitwise_xor_((z >> 30).bitwise_and_(0x3FFFFFFFF)).mul_(_MIX_1)
    z.bitwise_xor_((z >> 27).bitwise_and_(0x1FFFFFFFFF)).mul_(_MIX_2)
    return z.bitwise_xor_((z >> 31).bitwise_and_(0x1FFFFFFFF))


def stream(name: str) -> int:
    """The number of a named stream; different names give unrelated draws for the same seed and counters."""
    return zlib.crc32(name.encode())


def key(*parts: Tensor | int, after: Tensor | None = None) -> Tensor:
    """Hash of integer coordinates: broadcasting int64 tensors (or ints) of any shapes to one int64 tensor.

    `after` is the key of coordinates that come first: `key(a, b) = key(b, after=key(a))`.
    """
    tensors = [p for p in parts if isinstance(p, Tensor)]
    device = tensors[0].device if tensors else None
    h = torch.zeros((), dtype=torch.int64, device=device) if after is None else after
    for part in parts:
        p = part if isinstance(part, Tensor) else torch.tensor(part, dtype=torch.int64, device=device)
        h = _mix((h ^ p).add_(_GOLDEN))
    return h


def bits(keys: Tensor, count: int) -> Tensor:
    """`count` hashed int64 words for each key: shape `keys.shape + (count,)`."""
    counter = torch.arange(1, count + 1, dtype=torch.int64, device=keys.device) * _GOLDEN
    return _mix(keys.unsqueeze(-1) + counter)


def uniform(keys: Tensor, count: int) -> Tensor:
    """`count` float64 draws in (0, 1) for each key (52 bits and a half: exact, so never 0 nor 1)."""
    return (bits(keys, count) >> 12).bitwise_and_(0xFFFFFFFFFFFFF).double().add_(0.5).mul_(2.0**-52)


def integers(keys: Tensor, count: int, size: Tensor | int) -> Tensor:
    """`count` integers in [0, size) for each key; `size` (< 2**31) broadcasts against `keys`. Bias below size / 2**32."""
    words = (bits(keys, count) >> 32).bitwise_and_(0xFFFFFFFF)
    limit = size.unsqueeze(-1) if isinstance(size, Tensor) else size
    return (words * limit).bitwise_right_shift_(32)


def normal(keys: Tensor, count: int) -> Tensor:
    """`count` float64 standard normals for each key (Box and Muller's transform of two uniforms a pair)."""
    half = (count + 1) // 2
    u = uniform(keys, 2 * half)
    radius = torch.log(u[..., :half]).mul_(-2.0).sqrt_()
    angle = _TWO_PI * u[..., half:]
    pairs = torch.empty_like(u)
    torch.mul(radius, torch.cos(angle), out=pairs[..., :half])
    torch.mul(radius, torch.sin(angle), out=pairs[..., half:])
    return pairs[..., :count]
