"""What intervals are held against: chance in a counted coverage, and a bootstrap that takes one draw at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats


def binomial_band(repeats: int, level: float, slack: float = 0.0) -> tuple[float, float]:
    """Shares within which an interval of true coverage `level` (or down to `level - slack`) falls 999 times in 1000."""
    low = stats.binom.ppf(0.0005, repeats, level - slack) / repeats
    high = stats.binom.ppf(0.9995, repeats, level) / repeats
    return float(low), float(high)


def slow_interval(
    statistic: Callable[[np.ndarray], float], cluster: np.ndarray, rng: np.random.Generator, draws: int
) -> tuple[float, float]:
    """The 95 % percentile interval of a function of row numbers, clusters drawn whole."""
    members = [np.flatnonzero(cluster == c) for c in np.unique(cluster)]
    picks = rng.integers(0, len(members), size=(draws, len(members)))
    values = [statistic(np.concatenate([members[i] for i in row])) for row in picks]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
