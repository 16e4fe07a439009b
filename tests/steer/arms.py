"""Directions and interventions for the tests of steering."""

from __future__ import annotations

import numpy as np

from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention, Scope
from multidir.records.site import Site


def direction(seed: int = 0, site: Site = Site(1), d: int = 32, length: float = 3.0) -> Direction:  # noqa: B008
    vector = np.random.default_rng(seed).normal(size=d)
    return Direction.from_vector(f"random-{seed}", vector / np.linalg.norm(vector) * length, site)


def add(dose: float, seed: int = 0, site: Site = Site(1), scope: Scope = "all") -> Intervention:  # noqa: B008
    return Intervention(direction(seed, site), Dose(dose, "residual"), scope=scope)
