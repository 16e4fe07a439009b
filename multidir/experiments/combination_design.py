"""The cells of a combination study: a factorial, a dose ladder of every direction, and controls."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from multidir.stats.factorial import design
from multidir.types import FloatArray

LADDER = (1.0, 2**0.5, 2.0, 2 * 2**0.5)
"""Rungs of a dose ladder, as multiples of a direction's own dose."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What is run on every prompt."""

    doses: FloatArray
    """(c, k) float64. Multiples of each direction's own dose."""
    controls: tuple[str, ...]
    """(c,) which control a cell belongs to; empty for the directions themselves."""


def protocol(k: int, ladders: bool = True, flips: bool = False, n_random: int = 0) -> Cells:
    """Every cell of the protocol, each once.

    Args:
        k: Directions.
        ladders: Run every direction alone at each rung, and every pair.
        flips: Run every direction alone at minus its dose.
        n_random: Pairs of random directions, each with its two singles.
    """
    rows = [tuple(row) for row in design(k)]
    one = np.eye(k)
    if ladders:
        rows += [tuple(rung * one[j]) for j in range(k) for rung in LADDER]
        rows += [tuple(one[i] + one[j]) for i, j in combinations(range(k), 2)]
    if flips:
        rows += [tuple(-one[j]) for j in range(k)]
    real = list(dict.fromkeys(rows))
    random = [tuple(row) for _ in range(n_random) for row in (one[0], one[1], one[0] + one[1])]
    labels = ("",) * len(real) + tuple(f"random:{i // 3 + 1}" for i in range(len(random)))
    return Cells(np.array([*real, *random], dtype=np.float64), labels)
