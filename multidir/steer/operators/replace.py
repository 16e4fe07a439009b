"""replace: `a u` instead of x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from multidir.steer.operators.base import Amount, At, Operator, stack


@dataclass(frozen=True)
class Replace(Operator):
    """What each row becomes: (u, d)."""

    vector: Tensor

    @classmethod
    def of(cls, settings: Sequence[Sequence[Amount]]) -> Self:
        """One vector per setting."""
        return cls(stack([a.value * a.subject.unit for (a,) in settings]))

    @staticmethod
    def null(amount: Amount) -> bool:  # noqa: ARG004
        """Never: at dose zero the stream becomes zero."""
        return False

    @property
    def d(self) -> int | None:
        """Of its arrays."""
        return self.vector.shape[-1]

    def __call__(self, x: Tensor, at: At) -> Tensor:  # noqa: ARG002
        """The row's vector at every position."""
        return self.vector[:, None].expand_as(x)
