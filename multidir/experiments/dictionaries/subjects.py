"""Dictionaries and the rows they are measured on: those held out when they were trained, wherever that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from multidir.errors import ConfigError, DesignError
from multidir.experiments.dictionaries.train import dictionary_sources, side_by_side
from multidir.records.site import Site
from multidir.sae.dictionary import Coder
from multidir.sae.folder import read_config, site_of
from multidir.sae.foreign import load_dictionary, settle
from multidir.sae.source import rows_hash
from multidir.sae.split import split_rows
from multidir.store.activations import ActivationStore
from multidir.store.spec import Key
from multidir.types import IntArray, Role


@dataclass(frozen=True)
class Settings:
    """How much is looked at."""

    rows: int
    """Rows that quality is measured on, at most."""
    texts: int
    """Texts that predictions are compared on, at most."""
    examples: int
    """Examples per latent."""
    shown: int
    """Latents with examples, the strongest ones of each dictionary."""
    expected_l0: float | None
    """L0 that a published dictionary should have; what its metadata say when none."""
    seed: int


@dataclass(eq=False)
class Subject:
    """A dictionary with the rows it is measured on."""

    name: str
    coder: Coder
    keys: tuple[Key, ...]
    rows: IntArray
    """Rows of the store."""
    unit: IntArray
    """(m,) number from 0 of the prompt of each of those rows."""
    held_out: bool
    """Whether it was trained on this store without these rows; otherwise it may or may not have seen them."""
    readings: Mapping[str, float] = field(default_factory=dict)
    """L0 under each reading that was tried."""


def load_subjects(
    sources: Mapping[str, str | Path], store: ActivationStore, role: Role, site: Site | None, settings: Settings
) -> list[Subject]:
    """Dictionaries with their rows: those held out when they were trained, if it was on this store.

    Raises:
        ConfigError: nobody knows a dictionary or its site, or its L0 is far from what it should be.
        DesignError: a dictionary of another width than the store.
    """
    found: list[Subject] = []
    for name, source in sources.items():
        keys = _keys(source, role, site)
        mean_norm = store.mean_norm(*keys[0]) if keys else None
        coder = load_dictionary(source, mean_norm)
        keys = keys or ((role, site or _site(coder, name)),)
        if coder.d != store.d * len(keys):
            raise DesignError(f"{name} reads rows of width {coder.d}, and {store.path} holds rows of {store.d}")
        rows, unit, held_out = _rows(coder, store, settings)
        coder, readings = settle(coder, side_by_side(store, keys, rows[:2048]), settings.expected_l0)
        found.append(Subject(name, coder, keys, rows, unit, held_out, readings))
    return found


def every_subject(folder: Path | None, store: ActivationStore, role: Role) -> list[Subject]:
    """All dictionaries of a run of train/sae, or the one in an SAE folder, of `role` if it does not say of which."""
    if folder is None:
        return []
    return load_subjects(dictionary_sources(str(folder)), store, role, None, Settings(2048, 0, 0, 0, None, 0))


def _keys(source: str | Path, role: Role, site: Site | None) -> tuple[Key, ...]:
    """What one of our own folders says it reads; nothing for others."""
    path = Path(source)
    if not path.is_dir():
        return ((role, site),) if site is not None else ()
    facts = read_config(path).get("metadata", {})
    origin = facts.get("multidir") or {}
    where = Site.parse(origin["site"]) if "site" in origin else site or site_of(facts)
    roles: tuple[Role, ...] = tuple(origin.get("roles", (role,)))
    return tuple((each, where) for each in roles) if where is not None else ()


def _site(coder: Coder, name: str) -> Site:
    site = site_of(coder.facts)
    if site is None:
        raise ConfigError(f"{name} does not say where it reads; give the site")
    return site


def _rows(coder: Coder, store: ActivationStore, settings: Settings) -> tuple[IntArray, IntArray, bool]:
    """Rows, their prompts, and whether they were held out when the dictionary was trained."""
    origin = coder.facts.get("multidir") or {}
    rng = np.random.default_rng(settings.seed)
    if origin.get("rows") == rows_hash(store):
        split = split_rows(store, most=settings.rows, **origin["held_out"])
        return split.held_out, _numbered(split.unit[split.held_out]), True
    later = np.flatnonzero(store.position > 0)
    rows = np.sort(rng.choice(later, min(settings.rows, len(later)), replace=False))
    prompts = _numbered(np.array([info.prompt_id for info in store.traces]))
    return rows, _numbered(prompts[store.trace_index[rows]]), False


def _numbered(names: np.ndarray[Any, Any]) -> IntArray:
    found: IntArray = np.unique(names, return_inverse=True)[1]
    return found
