"""The models with which runs ended, as a tensor that a table can carry about."""

from __future__ import annotations

import torch
from torch import Tensor


class Equal(Tensor):
    """Which elements agree; as a truth value, whether all do. Results of further operations are plain tensors."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __bool__(self) -> bool:
        return bool(self.as_subclass(Tensor).all())


class FinalModels(Tensor):
    """Models (R, d), in run order, for `attrs` of a pandas table; every operation on them gives plain tensors.

    pandas copies `attrs` with each table that it derives, and compares them where it joins two, which printing a long table does as well.
    Such copies share these models, and `==` between two of them, which pandas takes for a truth value, is true where all are equal.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __deepcopy__(self, memo: dict) -> FinalModels:
        return self

    def __eq__(self, other: object) -> Tensor | bool:
        plain = self.as_subclass(Tensor)
        if not isinstance(other, FinalModels):
            return plain == other
        mine = other.as_subclass(Tensor)
        return (plain == mine).as_subclass(Equal) if plain.shape == mine.shape else False

    __hash__ = Tensor.__hash__
