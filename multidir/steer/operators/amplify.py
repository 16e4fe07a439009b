"""amplify: `x + a x / |x|`, or `x + a x`; the two published readings of self-amplification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from multidir.steer.operators.base import Amount, At, Operator


@dataclass(frozen=True)
class Amplify(Operator):
    """Per setting: how much longer the activation becomes (u, 1, 1), and by how many times itself (u, 1, 1).

    Source: arXiv 2507.12638, activation x coefficient in the text, magnitude x unit activation in the code.
    """

    length: Tensor
    times: Tensor

    @classmethod
    def of(cls, settings: Sequence[Sequence[Amount]]) -> Self:
        """The dose's unit says which reading is meant."""
        times = torch.tensor([a.value * (a.unit == "activation") for (a,) in settings], dtype=torch.float64)
        both = torch.tensor([a.value for (a,) in settings], dtype=torch.float64)
        return cls((both - times)[:, None, None], times[:, None, None])

    def __call__(self, x: Tensor, at: At) -> Tensor:  # noqa: ARG002
        """Lengthen every activation; one of length zero has no direction and stays."""
        return x + self.times * x + self.length * normalize(x, dim=-1)
