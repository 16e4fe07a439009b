"""noise: `x + a g / |g|` with g Gaussian, drawn from the row's seed, the site and the absolute position alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from multidir.linalg.noise import combined, gaussian
from multidir.records.site import Site
from multidir.steer.operators.base import NOTHING, Amount, At, Operator, Touch

BLOCK = 1 << 23
"""Numbers drawn at a time: they take several times the memory of the stream while they are made."""


@dataclass(frozen=True)
class AddNoise(Operator):
    """Norm of the noise (u, 1, 1); all settings share how it is drawn."""

    length: Tensor
    factor: Tensor | None
    """(1, r, d), or None for the same covariance in every direction."""
    fresh: bool
    draws: ClassVar[bool] = True

    @classmethod
    def of(cls, settings: Sequence[Sequence[Amount]]) -> Self:
        """One norm per setting."""
        noise = settings[0][0].subject
        factor = None if noise.factor is None else torch.as_tensor(noise.factor, dtype=torch.float64)[None]
        length = torch.tensor([a.value for (a,) in settings], dtype=torch.float64)
        return cls(length[:, None, None], factor, noise.fresh)

    @classmethod
    def family(cls, subject: Any) -> object:
        """How it is drawn."""
        return subject.fresh, id(subject.factor) if subject.factor is not None else None

    @staticmethod
    def touch(subject: Any) -> Touch:
        """It reads nothing, and writes what the covariance spans."""
        return Touch(NOTHING, subject.factor)

    @property
    def d(self) -> int | None:
        """Of its arrays."""
        return None if self.factor is None else self.factor.shape[-1]

    def __call__(self, x: Tensor, at: At) -> Tensor:
        """Add each token's own noise, or the row's."""
        places = at.places if self.fresh else torch.full_like(at.places[:, :1], -1)
        site = torch.full_like(places[:1, :1], 2 * at.site.layer + Site.STREAMS.index(at.site.stream))
        keys = combined(combined(at.seeds[:, None], site), places)
        pieces = keys.split(max(1, BLOCK // (len(keys) * x.shape[-1])), dim=1)
        return x + self.length * torch.cat([self._drawn(piece, x) for piece in pieces], dim=1)

    def _drawn(self, keys: Tensor, x: Tensor) -> Tensor:
        """(b, t, d) unit vectors."""
        drawn = gaussian(keys, x.shape[-1] if self.factor is None else self.factor.shape[1])
        if self.factor is not None:
            drawn = drawn @ self.factor[0].to(drawn.dtype)
        return normalize(drawn, dim=-1).to(x.dtype)
