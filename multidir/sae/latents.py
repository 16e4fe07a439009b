"""Latents as directions: decoder rows of a dictionary, by number, with where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from multidir.errors import ConfigError
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.sae.dictionary import Coder
from multidir.sae.folder import site_of


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
