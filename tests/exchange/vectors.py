"""Directions that the tests of other programs' formats share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site

GOLDEN = Path(__file__).parent / "golden"
VECTORS = {n: np.arange(6) - n * 1.5 for n in (1, 2, 3)}
"""What `make_golden.py` gave the real packages."""


def some(sites: tuple[Site, ...] = (Site(1), Site(2), Site(3)), d: int = 6) -> DirectionSet:
    rng = np.random.default_rng(3)
    return DirectionSet(
        Direction.from_vector(f"reasoning/backtracking {site} -13..-8", rng.normal(size=d), site, "diffmeans", {"n": 7})
        for site in sites
    )
