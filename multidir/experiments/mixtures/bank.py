"""What is mixed: directions at one site or at several, as rows of one space in which every length is comparable.

A vector of the space is one push per site, each in multiples of the mean residual norm there, behind each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ConfigError, DesignError
from multidir.experiments.candidates.finders import CONTROLS
from multidir.experiments.candidates.gradients import SCOPE
from multidir.experiments.mixtures.settings import MOST
from multidir.models.forced import Context, Hooks
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.types import BoolArray, FloatArray, IntArray

CLOSEST = 0.99
"""Cosine beyond which two directions are one."""


@dataclass(frozen=True)
class Space:
    """Sites with their mean residual norms."""

    sites: tuple[Site, ...]
    norms: tuple[float, ...]
    d: int
    """Width of the residual stream."""

    @property
    def size(self) -> int:
        """Numbers of one vector."""
        return self.d * len(self.sites)

    def hooks(self, vector: Tensor, contexts: Sequence[Context]) -> Hooks:
        """Add a vector (s d,) to what the model writes and to the last token before it."""
        first = torch.tensor([context.n_prompt - 1 for context in contexts], device=vector.device)
        return [
            (site, _Push(part * norm, first))
            for site, norm, part in zip(self.sites, self.norms, vector.view(len(self.sites), self.d), strict=True)
        ]

    def directions(self, name: str, vector: FloatArray) -> list[Direction]:
        """A vector as directions, one for each site at which it does something; lengths in residual-stream units."""
        parts = vector.reshape(len(self.sites), self.d)
        return [
            Direction.from_vector(name if len(self.sites) == 1 else f"{name} at {site}", part * norm, site, "mixture")
            for site, norm, part in zip(self.sites, self.norms, parts, strict=True)
            if part.any()
        ]

    def edits(self, name: str, vector: FloatArray, factor: float = 1.0) -> tuple[Intervention, ...]:
        """The interventions that add a multiple of a vector."""
        return tuple(
            Intervention(item, Dose(item.length * factor, "residual"), scope=SCOPE)
            for item in self.directions(name, vector)
        )


class _Push:
    """Adds a vector to every row of a batch from the row's first position on."""

    def __init__(self, push: Tensor, first: Tensor) -> None:
        self.push, self.first = push, first

    def __call__(self, hidden: Tensor) -> Tensor:
        there = torch.arange(hidden.shape[1], device=hidden.device) >= self.first[:, None]
        return hidden + there[..., None].to(hidden.dtype) * self.push.to(hidden.dtype)


@dataclass(frozen=True, eq=False)
class Bank:
    """Rows that are mixed."""

    names: tuple[str, ...]
    rows: FloatArray
    """(k, s d) of length 1."""
    groups: IntArray
    """(k,) number of the direction that a row belongs to."""
    lengths: FloatArray
    """(k,) with which the directions were found, in mean residual norms."""

    def only(self, keep: BoolArray) -> Bank:
        """The rows that are kept."""
        at = np.flatnonzero(keep)
        groups = np.unique(self.groups[at], return_inverse=True)[1]
        return Bank(tuple(self.names[i] for i in at), self.rows[at], groups, self.lengths[at])

    def used(self, weights: FloatArray) -> int:
        """Directions that some weights (k,) use."""
        return len(set(self.groups[weights != 0].tolist()))


def free_bank(space: Space) -> Bank:
    """Every vector of the space."""
    n = space.size
    return Bank(tuple(map(str, range(n))), np.eye(n), np.arange(n), np.ones(n))


def chosen(directions: DirectionSet, names: Sequence[str] = (), k: int = 0, layers: Sequence[str] = ()) -> DirectionSet:
    """The directions that are mixed: those named, the first `k`, or all; controls only where they are named.

    Raises:
        DesignError: fewer than two or more than 64; two that are one, or one that the others make up.
    """
    real = [item for item in directions if item.method not in CONTROLS]
    found = [directions[name] for name in names] if names else real[: k or None]
    if not 2 <= len(found) <= MOST:
        raise DesignError(
            f"a mixture is of 2 to {MOST} directions, got {len(found)}; name them with --names, or take the first ones "
            f"with --k, out of {len(directions)}: {', '.join(directions.names[:8])}{', ...' * (len(directions) > 8)}"
        )
    for site in {item.site for item in found}:
        _check_apart(DirectionSet(item for item in found if layers or item.site == site))
    return DirectionSet(found)


def _check_apart(directions: DirectionSet) -> None:
    """Refuse directions of one site whose weights no data could tell apart."""
    gram = np.triu(directions.gram(), 1)
    i, j = np.unravel_index(np.abs(gram).argmax(), gram.shape)
    if abs(gram[i, j]) > CLOSEST:
        raise DesignError(
            f"{directions.names[i]} and {directions.names[j]} have a cosine of {gram[i, j]:.3f}: no data can share "
            "weight between them; keep one of the two with --names"
        )
    rank = len(directions.basis())
    if rank < len(directions):
        raise DesignError(
            f"{len(directions)} directions span {rank} dimensions only, so that many weights make the same vector; "
            "leave some out with --names or --k"
        )


def bank_of(
    directions: DirectionSet, norms: Mapping[Site, float], layers: Sequence[str], width: int
) -> tuple[Space, Bank]:
    """The space and the rows of some directions, each at its own site or at every layer of those given.

    Raises:
        ConfigError: directions of another width than the model's, or a site whose norm nobody measured.
    """
    if directions.d != width:
        raise ConfigError(f"directions are {directions.d} wide and the model {width}; they belong to another model")
    items = list(directions)
    at = [tuple(map(Site.parse, layers)) or (item.site,) for item in items]
    sites = tuple(sorted({site for each in at for site in each}))
    lost = [str(site) for site in sites if site not in norms]
    if lost:
        raise ConfigError(
            f"nobody measured the mean residual norm at {', '.join(lost)}; norms.json of the directions has "
            f"{', '.join(map(str, sorted(norms)))}"
        )
    space = Space(sites, tuple(norms[site] for site in sites), width)
    places = [(number, site) for number, each in enumerate(at) for site in each]
    rows = np.zeros((len(places), len(sites), width))
    for row, (number, site) in zip(rows, places, strict=True):
        row[sites.index(site)] = items[number].unit
    names = tuple(f"{items[n].name} at {site}" if layers else items[n].name for n, site in places)
    lengths = np.array([items[n].length / norms[site] for n, site in places])
    return space, Bank(names, rows.reshape(len(places), -1), np.array([n for n, _ in places]), lengths)
