"""What a rule costs the server, counted and not timed: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Counter(TorchFunctionMode):
    total = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.total += result.numel() if isinstance(result, Tensor) else 0
        return result


def numbers_written(function: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """`function(*arguments)`, and how many numbers the torch operations that it called returned as tensors.

    For a rule's `receive` this is the work of one arrival, in numbers: 6 d for DuDe, 2 d for ASGD. A view counts like a copy. What
    operations do inside, and plain Python, is not counted.
    """
    with _Counter() as counter:
        result = function(*arguments)
    return result, counter.total
