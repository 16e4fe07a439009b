"""add: `x + sum of a u`, a mixture of directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor

from multidir.steer.operators.base import NOTHING, Amount, At, Operator, Touch, stack


@dataclass(frozen=True)
class Add(Operator):
    """What is added to each row: (u, d), summed in float64 and rounded once."""

    vector: Tensor
    merges: ClassVar[bool] = True

    @classmethod
    def of(cls, settings: Sequence[Sequence[Amount]]) -> Self:
        """One mixture per setting."""
        return cls(stack([np.sum([a.value * a.subject.unit for a in amounts], axis=0) for amounts in settings]))

    @staticmethod
    def touch(subject: Any) -> Touch:
        """It reads nothing."""
        return Touch(NOTHING, subject.unit[None])

    @property
    def d(self) -> int | None:
        """Of its arrays."""
        return self.vector.shape[-1]

    def __call__(self, x: Tensor, at: At) -> Tensor:  # noqa: ARG002
        """Add the row's mixture."""
        return x + self.vector[:, None]
