"""Directions that the tests of other programs' formats share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multidir.models.language_model import LanguageModel
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from tests.models.tiny import tiny_lm

GOLDEN = Path(__file__).parent / "golden"
VECTORS = {n: np.arange(6) - n * 1.5 for n in (1, 2, 3)}
"""What `make_golden.py` gave the real packages."""


def some(sites: tuple[Site, ...] = (Site(1), Site(2), Site(3)), d: int = 6) -> DirectionSet:
    rng = np.random.default_rng(3)
    return DirectionSet(
        Direction.from_vector(f"reasoning/backtracking {site} -13..-8", rng.normal(size=d), site, "diffmeans", {"n": 7})
        for site in sites
    )


LLAMA_IDS = [5, 9, 11, 60, 44, 17, 23, 8]
STRENGTH = 1.5


def llama() -> LanguageModel:
    """The model that llama.cpp ran for `golden/llama_cpp.json`."""
    return tiny_lm(vocab=64)


def llama_direction(n: int) -> Direction:
    return Direction.from_vector(f"d{n}", np.random.default_rng(n).normal(size=32) * 3, Site(n))
