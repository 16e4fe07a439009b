"""Latents as directions, by number, with where they come from; and dictionaries whose latents can be clamped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from multidir.errors import ConfigError
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.sae.dictionary import Coder, Dictionary
from multidir.sae.folder import site_of
from multidir.types import FloatArray


def latent_directions(
    coder: Coder,
    latents: Iterable[int],
    prefix: str = "sae",
    site: Site | None = None,
    source: dict[str, Any] | None = None,
) -> DirectionSet:
    """Decoder rows as directions named `<prefix>/<latent>`.

    Args:
        coder: a dictionary.
        latents: numbers from 0.
        prefix: begins the names, for example the model's role.
        site: where the rows were taken; what the metadata say when none.
        source: further provenance.

    Raises:
        ConfigError: a latent that is not there, or a site that nobody names.
        DesignError: a decoder row of zeros.
    """
    chosen = list(latents)
    outside = [latent for latent in chosen if not 0 <= latent < coder.width]
    if outside:
        raise ConfigError(f"latents {outside} are not there: {coder} counts from 0 to {coder.width - 1}")
    site = site or site_of(coder.facts)
    if site is None:
        raise ConfigError(f"{coder} does not say where it reads ({coder.facts.get('hook_name')!r}); give the site")
    names = ("model_name", "hook_name", "store_hash", "release", "sae_id")
    facts = {name: coder.facts[name] for name in names if coder.facts.get(name)}
    rows = coder.directions[chosen].double().cpu().numpy()
    return DirectionSet(
        Direction.from_vector(f"{prefix}/{latent}", row, site, "sae", {**facts, **(source or {}), "latent": latent})
        for latent, row in zip(chosen, rows, strict=True)
    )


@dataclass(frozen=True, eq=False)
class Clampable:
    """A dictionary as `records.latent` wants it: it reads x as the model has it."""

    W_enc: FloatArray
    """(d, f)."""
    b_enc: FloatArray
    """(f,)."""
    W_dec: FloatArray
    """(f, d)."""
    b_dec: FloatArray
    """(d,)."""
    threshold: FloatArray | None
    """(f,)."""
    k: int | None


def clampable(dictionary: Dictionary) -> Clampable:
    """The same dictionary with what it subtracts from its input folded into the encoder's bias."""
    bias = dictionary.enc_bias.double()
    if dictionary.centred:
        bias = bias - dictionary.dec_bias.double() @ dictionary.enc.double()
    threshold, k = dictionary.threshold, dictionary.k
    return Clampable(
        _array(dictionary.enc),
        _array(bias),
        _array(dictionary.dec),
        _array(dictionary.dec_bias),
        _array(threshold) if dictionary.needs_threshold and threshold is not None else None,
        k if dictionary.activation == "topk" else None,
    )


def _array(values: Tensor) -> FloatArray:
    found: FloatArray = values.detach().double().cpu().numpy()
    return found
