"""One latent of a sparse dictionary, at the site whose residual stream the dictionary describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from multidir.errors import ConfigError
from multidir.records.site import Site
from multidir.types import FloatArray


class Dictionary(Protocol):
    """What steering needs of a sparse autoencoder, as float arrays; f latents of width d.

        z = x @ W_enc + b_enc        latent = relu(z), or 0 where not z > threshold, or 0 where not among the k largest
        x ~ latent @ W_dec + b_dec

    The encoder reads x as the model has it: what a format does to its input first (subtracting `b_dec`, scaling
    norms) is folded into the weights by whoever reads that format.
    """

    @property
    def W_enc(self) -> FloatArray:
        """(d, f)."""
        ...

    @property
    def b_enc(self) -> FloatArray:
        """(f,)."""
        ...

    @property
    def W_dec(self) -> FloatArray:
        """(f, d)."""
        ...

    @property
    def b_dec(self) -> FloatArray:
        """(d,)."""
        ...

    @property
    def threshold(self) -> FloatArray | None:
        """(f,) for JumpReLU, otherwise None."""
        ...

    @property
    def k(self) -> int | None:
        """Number of latents that may be active at a token for TopK, otherwise None."""
        ...


@dataclass(frozen=True, eq=False)
class Latent:
    """A latent to be held at a value."""

    dictionary: Dictionary
    index: int
    site: Site

    def __post_init__(self) -> None:
        """Refuse a latent that the dictionary does not have, or whose weights cannot be used."""
        sae = self.dictionary
        d, f = sae.W_enc.shape
        if sae.W_dec.shape != (f, d) or sae.b_enc.shape != (f,):
            raise ConfigError(
                f"dictionary at {self.site}: W_enc {(d, f)}, b_enc {sae.b_enc.shape}, W_dec {sae.W_dec.shape} "
                "do not fit; expected (d, f), (f,), (f, d)"
            )
        if not 0 <= self.index < f:
            raise ConfigError(f"{self.name} at {self.site} is beyond its dictionary of {f} latents")
        if sae.threshold is not None and (sae.k is not None or sae.threshold.shape != (f,)):
            raise ConfigError(f"dictionary at {self.site}: give threshold (f,) or k, not both; f is {f}")
        if sae.k is not None and not 1 <= sae.k <= f:
            raise ConfigError(f"dictionary at {self.site}: k is {sae.k}, of {f} latents")
        if not (np.isfinite(self.reads).all() and np.isfinite(self.writes).all() and self.writes.any()):
            raise ConfigError(f"{self.name} at {self.site}: its weights are not finite, or its decoder row is zero")

    @property
    def name(self) -> str:
        """How errors and tables call it."""
        return f"latent-{self.index}"

    @property
    def d(self) -> int:
        """Width of the residual stream."""
        return int(self.dictionary.W_enc.shape[0])

    @property
    def reads(self) -> FloatArray:
        """(d,) float64: its encoder column."""
        return np.asarray(self.dictionary.W_enc[:, self.index], dtype=np.float64)

    @property
    def writes(self) -> FloatArray:
        """(d,) float64: its decoder row."""
        return np.asarray(self.dictionary.W_dec[self.index], dtype=np.float64)
