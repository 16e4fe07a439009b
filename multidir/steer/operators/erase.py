"""erase: `x - share (x - center) right^T left`; projecting out, mean ablation and LEACE (see `linalg.erase`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from multidir.steer.operators.base import Amount, At, Operator, Touch, stack


@dataclass(frozen=True)
class Erase(Operator):
    """Per setting: left and right (u, r, d), and what the center reads (u, r); the share is in `left`."""

    left: Tensor
    right: Tensor
    kept: Tensor

    @classmethod
    def of(cls, settings: Sequence[Sequence[Amount]]) -> Self:
        """One eraser per setting; lower ranks are filled up with zeros."""
        return cls(
            stack([a.value * a.subject.left for (a,) in settings]),
            stack([a.subject.right for (a,) in settings]),
            stack([a.subject.right @ a.subject.center for (a,) in settings]),
        )

    @staticmethod
    def touch(subject: Any) -> Touch:
        """It reads one span and writes the other."""
        return Touch(subject.right, subject.left)

    @property
    def d(self) -> int | None:
        """Of its arrays."""
        return self.left.shape[-1]

    def __call__(self, x: Tensor, at: At) -> Tensor:  # noqa: ARG002
        """Take away what is read beyond the center's share."""
        return x - (x @ self.right.mT - self.kept[:, None]) @ self.left
