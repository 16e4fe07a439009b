"""Weights by CMA-ES, which asks for nothing but scores: for effects that have no gradient, such as whole texts.

score = sign * log-odds that a sentence backtracks, all texts together - price * share of texts that loop
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from multidir.errors import MissingExtra
from multidir.types import FloatArray

Score = Callable[[int, Sequence[FloatArray]], Sequence[float]]
"""From a generation's number and its weights (k,) to their scores; more is better."""


@dataclass(frozen=True, eq=False)
class Found:
    """The best weights that were tried, and everything that was."""

    weights: FloatArray
    score: float
    """Of the best of many: too good by the luck that made it the best."""
    tried: pd.DataFrame
    """One row per mixture: generation, number, score, and its weights by name."""


def require_cmaes() -> Any:
    """The package, which is asked for before anything is run.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import cmaes
    except ImportError:
        raise MissingExtra(
            "a search on whole texts needs the Python package cmaes: pip install 'multidir[search]', or take "
            "--generations 0"
        ) from None
    return cmaes


def search(
    score: Score, names: Sequence[str], start: FloatArray, spread: float, generations: int, population: int, seed: int
) -> Found:
    """Try mixtures, generation by generation, each drawn where the last one did well.

    Args:
        score: Of a generation's mixtures, all at once.
        names: Of the weights.
        start: (k,) middle of the first generation.
        spread: Its standard deviation.
        generations: How often mixtures are drawn.
        population: Mixtures of each.
        seed: Of the draws.
    """
    made = require_cmaes().CMA(mean=start, sigma=spread, seed=seed, population_size=population)
    rows: list[dict[str, Any]] = []
    best, found = -float("inf"), start
    for generation in range(generations):
        asked = [np.asarray(made.ask(), dtype=np.float64) for _ in range(population)]
        scores = [float(value) for value in score(generation, asked)]
        made.tell([(weights, -value) for weights, value in zip(asked, scores, strict=True)])
        for number, (weights, value) in enumerate(zip(asked, scores, strict=True)):
            facts = {"generation": generation, "number": number, "score": value}
            rows.append({**facts, **dict(zip(names, weights.tolist(), strict=True))})
            if value > best:
                best, found = value, weights
    return Found(found, best, pd.DataFrame(rows))
