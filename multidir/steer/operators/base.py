"""What an operator is: a change of the residual stream of many rows at once, each row with its own setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from multidir.records.intervention import DoseUnit
from multidir.records.site import Site
from multidir.types import BoolArray, FloatArray


class Amount(NamedTuple):
    """A subject and how much of it, once every statistic is known."""

    subject: Any
    value: float
    unit: DoseUnit


class At(NamedTuple):
    """Where the tokens of the current pass stand, for operators to which that matters."""

    site: Site
    places: Tensor
    """(b, t) int64 absolute positions."""
    seeds: Tensor
    """(b,) int64 of the rows, or one for all."""


class Touch(NamedTuple):
    """What an operator looks at and what it changes: directions (m, d), or None for all of the stream."""

    reads: FloatArray | None
    writes: FloatArray | None


NOTHING: FloatArray = np.empty((0, 0))
"""No direction at all."""


@dataclass(frozen=True)
class Operator:
    """Settings of many rows, stacked: every tensor has the settings first, or one entry that serves all."""

    merges: ClassVar[bool] = False
    """True when all a row does with this operator in one scope and order is one setting."""
    draws: ClassVar[bool] = False
    """True when it depends on the seed of the row."""

    @classmethod
    def of(cls, settings: Sequence[Sequence[Amount]]) -> Self:
        """Stack settings, each made of one amount, or of several where the operator merges them; float64."""
        raise NotImplementedError

    @classmethod
    def family(cls, subject: Any) -> object:  # noqa: ARG003
        """What subjects must have in common to be stacked."""
        return None

    @staticmethod
    def touch(subject: Any) -> Touch:  # noqa: ARG004
        """What it reads and writes."""
        return Touch(None, None)

    @staticmethod
    def null(amount: Amount) -> bool:
        """Whether nothing is done at this amount."""
        return amount.value == 0

    @property
    def d(self) -> int | None:
        """Width of the residual stream it is for; None for any."""
        return None

    def __call__(self, x: Tensor, at: At) -> Tensor:
        """The edited stream (b, t, d) of every position, whatever the scope is."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        """All of them, by field."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}

    def each(self, fn: Callable[[Tensor], Tensor]) -> Self:
        """The same with a function applied to every tensor."""
        return replace(self, **{name: fn(tensor) for name, tensor in self.tensors().items()})

    def not_finite(self, dtype: torch.dtype) -> BoolArray:
        """(u,) settings that a number format cannot hold."""
        bad = [~torch.isfinite(tensor.to(dtype)).flatten(1).all(1) for tensor in self.tensors().values()]
        found: BoolArray = np.any(np.broadcast_arrays(*(flags.numpy() for flags in bad)), axis=0)
        return found

    def take(self, pick: Tensor) -> Self:
        """Settings (b,) by index; a single one is not copied."""
        return self.each(lambda tensor: tensor if len(tensor) == 1 else tensor[pick])


def stack(arrays: Sequence[FloatArray]) -> Tensor:
    """(u, r, ...) float64 of u arrays (r, ...), filled up with zeros where r differs."""
    longest = max(len(array) for array in arrays)
    made = np.zeros((len(arrays), longest, *arrays[0].shape[1:]))
    for row, array in zip(made, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(made)
