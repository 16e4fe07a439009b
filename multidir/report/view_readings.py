"""What tokens are coloured by: their projection on directions, and the activation of latents, from a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multidir.errors import ConfigError
from multidir.experiments.choose import Choice
from multidir.records.direction import Direction
from multidir.records.site import Site
from multidir.store.activations import ActivationStore
from multidir.store.spec import Key
from multidir.types import FloatArray, Role

Read = Callable[[FloatArray], FloatArray]
"""(t, d) activations of some tokens -> (t,) numbers."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One number for every token, and where it is read."""

    name: str
    key: Key
    """Whose activations, and where."""
    read: Read
    what: str = "projection"
    """`projection` (residual-stream units) or `activation` of a latent."""
    window: tuple[int, int] | None = None
    """Tokens before a sentence from which the direction was found."""
    about: str = ""
    """How it was found."""
    own: bool = False
    """Whether it was found in these very activations, which it then separates too well."""

    def values(self, store: ActivationStore, rows: Iterable[slice]) -> list[FloatArray]:
        """Its numbers for stretches of rows."""
        return [self.read(store.rows(*self.key, stretch)) for stretch in rows]


def direction_readings(store: ActivationStore, directions: Iterable[Direction]) -> list[Reading]:
    """Projections on those directions whose site the store holds, in the model that each was found in."""
    return [
        Reading(
            direction.name,
            (role, direction.site),
            _projection(direction),
            window=_window(direction),
            about=direction.method,
            own=direction.source.get("store") == store.content_hash,
        )
        for direction in directions
        for role in (_role(store, direction.source.get("role")),)
        if (role, direction.site) in store.spec.keys and direction.d == store.d
    ]


def latent_readings(store: ActivationStore, folder: Path, latents: Sequence[int]) -> list[Reading]:
    """Activations of some latents of a dictionary that reads one model.

    Raises:
        ConfigError: no latent is named, one is not there, or the store does not hold what the dictionary reads.
        FormatError: no dictionary.
    """
    from multidir.sae.folder import site_of  # brings torch, which projections do not need
    from multidir.sae.foreign import load_dictionary

    coder = load_dictionary(folder)
    outside = [latent for latent in latents if not 0 <= latent < coder.width]
    if outside or not latents:
        raise ConfigError(f"--latents {list(latents)}: name some from 0 to {coder.width - 1}, those of {folder}")
    facts = coder.facts.get("multidir") or {}
    site = Site.parse(facts["site"]) if "site" in facts else site_of(coder.facts)
    if site is None or len(facts.get("roles", ())) > 1:
        raise ConfigError(f"{folder} does not read one site of one model, so its latents cannot colour tokens")
    key = store.key(_role(store, next(iter(facts.get("roles", ())), None)), site)
    return [Reading(f"{folder.name}/{latent}", key, _activation(coder, latent), "activation") for latent in latents]


def chosen(
    directions: Sequence[Direction], names: Sequence[str], label: str, most: int, place: Choice | None = None
) -> list[Direction]:
    """The directions of these names; without names, the first ones with the label, or of methods without labels.

    Those from the place that a study steers at come before the others.

    Raises:
        ConfigError: there is no such direction.
    """
    if names:
        by_name = {direction.name: direction for direction in directions}
        lost = [name for name in names if name not in by_name]
        if lost:
            raise ConfigError(f"no direction {', '.join(map(repr, lost))}; there are {', '.join(by_name)}")
        return [by_name[name] for name in names]
    found = [item for item in directions if item.source.get("label", label) == label]
    return sorted(found, key=lambda item: not _from(item, place))[:most]


def _from(direction: Direction, place: Choice | None) -> bool:
    here = (str(direction.site), _window(direction))
    return place is not None and here == (place.site, (place.offset_lo, place.offset_hi))


def _role(store: ActivationStore, role: Any) -> Role:
    return role if role in store.roles else store.roles[-1]


def _window(direction: Direction) -> tuple[int, int] | None:
    offsets = direction.source.get("offsets")
    return (int(offsets[0]), int(offsets[1])) if offsets else None


def _projection(direction: Direction) -> Read:
    return lambda x: np.asarray(x, dtype=np.float64) @ direction.unit


def _activation(coder: Any, latent: int) -> Read:
    import torch

    def read(x: FloatArray) -> FloatArray:
        with torch.no_grad():
            found: FloatArray = coder.encode(torch.from_numpy(x))[:, latent].double().numpy()
        return found

    return read
