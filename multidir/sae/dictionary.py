"""A trained dictionary: encodes rows into latents and decodes them, in residual-stream units.

    acts = activation((x - dec_bias) enc + enc_bias)          dec_bias is subtracted unless `centred` is false
    reconstruction = acts dec + dec_bias

The operations are those of SAELens in the same order, so that a folder gives the same bits there and here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from multidir.errors import ConfigError

Activation = Literal["topk", "jumprelu", "standard"]


class Coder(Protocol):
    """Anything that encodes and decodes: our own dictionary, or one that SAELens runs for us."""

    @property
    def d(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def directions(self) -> Tensor: ...  # noqa: D102
    @property
    def facts(self) -> dict[str, Any]: ...  # noqa: D102
    def encode(self, x: Tensor) -> Tensor: ...  # noqa: D102
    def decode(self, acts: Tensor) -> Tensor: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Weights of an inference-time dictionary with everything known about it."""

    activation: Activation
    enc: Tensor
    """(d, f)"""
    enc_bias: Tensor
    """(f,)"""
    dec: Tensor
    """(f, d)"""
    dec_bias: Tensor
    """(d,)"""
    threshold: Tensor | None = None
    """(f,) jumprelu: a latent is active above it."""
    k: int | None = None
    """topk: active latents per row."""
    centred: bool = True
    """Whether dec_bias is subtracted from the input."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Metadata as SAELens keeps them; JSON values only."""

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit each other and an activation without its parameter."""
        d, f = self.enc.shape
        shapes = {"enc_bias": (f,), "dec": (f, d), "dec_bias": (d,)} | (
            {"threshold": (f,)} if self.needs_threshold else {}
        )
        found = {name: getattr(self, name) for name in shapes}
        wrong = [
            f"{name} is {'missing' if value is None else tuple(value.shape)}, expected {shapes[name]}"
            for name, value in found.items()
            if value is None or tuple(value.shape) != shapes[name]
        ]
        if wrong:
            raise ConfigError(f"a dictionary with an encoder {(d, f)}: {'; '.join(wrong)}")
        if self.activation == "topk" and not 1 <= (self.k or 0) <= f:
            raise ConfigError(f"a topk dictionary of {f} latents needs k between 1 and {f}, got {self.k}")

    @property
    def needs_threshold(self) -> bool:
        """Whether latents have thresholds."""
        return self.activation == "jumprelu"

    @property
    def d(self) -> int:
        """Width of the rows it reads."""
        return self.enc.shape[0]

    @property
    def width(self) -> int:
        """Latents."""
        return self.enc.shape[1]

    @property
    def directions(self) -> Tensor:
        """(f, d) decoder rows."""
        return self.dec

    def pre(self, x: Tensor) -> Tensor:
        """(n, f) pre-activations of (n, d) rows."""
        self._check(x)
        centred = x - self.dec_bias if self.centred else x
        return centred @ self.enc + self.enc_bias

    def encode(self, x: Tensor) -> Tensor:
        """(n, f) activations of (n, d) rows.

        Raises:
            ConfigError: rows of another width.
        """
        pre = self.pre(x)
        if self.activation == "topk":
            top = torch.topk(pre, k=self.k or 1, dim=-1, sorted=False)
            return torch.zeros_like(pre).scatter_(-1, top.indices, top.values.relu())
        acts = pre.relu()
        return acts if self.threshold is None else acts * (pre > self.threshold).to(acts.dtype)

    def decode(self, acts: Tensor) -> Tensor:
        """(n, d) reconstruction from (n, f) activations."""
        return acts @ self.dec + self.dec_bias

    def to(self, device: torch.device | str) -> Dictionary:
        """The same dictionary elsewhere."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in tensors.items()}
        return replace(self, **moved)

    def _check(self, x: Tensor) -> None:
        if x.shape[-1] != self.d:
            raise ConfigError(f"this dictionary reads rows of width {self.d}, got {tuple(x.shape)}")

    def __repr__(self) -> str:
        limit = f", k {self.k}" if self.k else ""
        return f"Dictionary({self.activation}: {self.width} latents of width {self.d}{limit})"


def pieces(n: int, width: int, values: int = 1 << 24) -> Iterator[slice]:
    """Stretches of n rows that give at most so many activations each."""
    step = max(1, values // width)
    return (slice(at, min(at + step, n)) for at in range(0, n, step))
