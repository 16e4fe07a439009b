"""clamp: `x + (a - latent(x)) w_dec`, so that what the dictionary does not explain stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ConfigError
from multidir.steer.operators.base import Amount, At, Operator, Touch, stack


@dataclass(frozen=True)
class Clamp(Operator):
    """Per setting, for its m latents: weights, biases, thresholds and the values they are held at.

    All latents of a setting are read before any is written. Filled-up latents write nothing.
    """

    reads: Tensor
    """(u, m, d) encoder columns."""
    bias: Tensor
    """(u, m)."""
    threshold: Tensor
    """(u, m), 0 for ReLU and TopK."""
    writes: Tensor
    """(u, m, d) decoder rows."""
    value: Tensor
    """(u, m)."""
    index: Tensor
    """(u, m) int64."""
    encoder: Tensor | None
    """(1, d, f) for TopK, whose latents compete."""
    encoder_bias: Tensor | None
    """(1, f)."""
    k: int | None
    merges: ClassVar[bool] = True

    @classmethod
    def of(cls, settings: Sequence[Sequence[Amount]]) -> Self:
        """All latents of one dictionary."""
        sae = settings[0][0].subject.dictionary
        for amounts in settings:
            indices = [amount.subject.index for amount in amounts]
            if len(set(indices)) < len(indices):
                twice = max(indices, key=indices.count)
                raise ConfigError(f"latent-{twice} is clamped twice in one row; choose one value")

        def of_latents(array: Any) -> Tensor:
            return stack([np.array([array[a.subject.index] for a in amounts], np.float64) for amounts in settings])

        competing = sae.k is not None
        return cls(
            reads=of_latents(sae.W_enc.T),
            bias=of_latents(sae.b_enc),
            threshold=of_latents(np.zeros(len(sae.b_enc)) if sae.threshold is None else sae.threshold),
            writes=of_latents(sae.W_dec),
            value=stack([np.array([a.value for a in amounts]) for amounts in settings]),
            index=stack([np.array([a.subject.index for a in amounts]) for amounts in settings]).long(),
            encoder=torch.as_tensor(sae.W_enc)[None] if competing else None,
            encoder_bias=torch.as_tensor(sae.b_enc)[None] if competing else None,
            k=sae.k,
        )

    @classmethod
    def family(cls, subject: Any) -> object:
        """The dictionary."""
        return id(subject.dictionary)

    @staticmethod
    def touch(subject: Any) -> Touch:
        """It reads its encoder column, or all when latents compete."""
        return Touch(subject.reads[None] if subject.dictionary.k is None else None, subject.writes[None])

    @staticmethod
    def null(amount: Amount) -> bool:  # noqa: ARG004
        """Never: at zero the latent is switched off."""
        return False

    @property
    def d(self) -> int | None:
        """Of its arrays."""
        return self.writes.shape[-1]

    def __call__(self, x: Tensor, at: At) -> Tensor:  # noqa: ARG002
        """Move every latent from what it is to what it is held at."""
        if self.encoder is None or self.encoder_bias is None or self.k is None:
            before = x @ self.reads.mT + self.bias[:, None]
            active = (before > 0) & (before > self.threshold[:, None])
        else:  # read among all others, because the same number computed alone may lose to itself by a rounding error
            latents = x @ self.encoder + self.encoder_bias
            before = latents.gather(-1, self.index[:, None].expand(*x.shape[:2], -1))
            active = (before > 0) & (before >= latents.topk(self.k, dim=-1).values[..., -1:])
        return x + (self.value[:, None] - torch.where(active, before, 0)) @ self.writes
