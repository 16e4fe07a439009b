"""Intervals from resampling whole clusters: the bootstrap over prompts or traces.

Rows of one trace are not independent, so the unit that is drawn is the trace. Statistics are written as
functions of cluster weights: `weights (draws, m)` in, `(draws,)` out, so that a thousand
draws are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from multidir.errors import DesignError
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray

WeightStatistic = Callable[[FloatArray], FloatArray]
"""From (w, m) cluster weights to (w,) values; nan where a draw has no value."""

MAX_UNDEFINED = 0.05
"""With a larger share of draws without a value, the interval is not estimable."""


def draw_weights(m: int, draws: int, rng: np.random.Generator) -> FloatArray:
    """(draws, m) float64: how often each of m clusters is in each bootstrap sample of size m."""
    if m < 1 or draws < 1:
        raise DesignError(f"a bootstrap needs at least one cluster and one draw, got {m} and {draws}")
    return rng.multinomial(m, np.full(m, 1 / m), size=draws).astype(np.float64)


def split_halves(m: int, draws: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Weights of random halves of m clusters and of their complements, for split-half reliability.

    Returns:
        Two (draws, m) float64 arrays of zeros and ones; with odd m the second half has one more.
    """
    if m < 2:
        raise DesignError(f"two halves need at least two clusters, got {m}")
    order = np.argsort(np.argsort(rng.random((draws, m)), axis=1), axis=1)
    first = (order < m // 2).astype(np.float64)
    return first, 1.0 - first


def percentile_estimate(
    value: float, values: FloatArray, n: int, level: float = 0.95, method: str = "cluster bootstrap", scale: str = ""
) -> Estimate:
    """A value with the central percentile interval of its resampled values.

    Draws without a value (nan) are left out. The interval is not estimable with fewer than two clusters,
    with more than 5 % such draws, or when every draw gives the same value but for rounding: the data then carry no
    information on the spread, and a zero-width interval would look like certainty.

    Args:
        value: The statistic on the data themselves.
        values: (draws,) float. The statistic on each resample; infinities are ordered like numbers.
        n: Number of clusters.
        level: Coverage wanted, between 0 and 1.
        method: Name of the resampling, for print.
        scale: Unit of the value, for print.
    """
    if not 0 < level < 1:
        raise DesignError(f"a confidence level is between 0 and 1, got {level}")
    known = values[~np.isnan(values)]
    blank = Estimate(value, math.nan, math.nan, n, method, scale, level)
    if n < 2 or known.size < (1 - MAX_UNDEFINED) * values.size or known.size == 0:
        return blank
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    degenerate = math.isclose(known.min(), known.max(), rel_tol=1e-12)
    return blank if degenerate else Estimate(value, float(low), float(high), n, method, scale, level)


def weighted_bootstrap(
    statistic: WeightStatistic,
    m: int,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
    scale: str = "",
) -> Estimate:
    """Cluster bootstrap of a statistic of cluster weights.

    Args:
        statistic: From (w, m) weights to (w,) values. Weight 1 everywhere gives the value itself.
        m: Number of clusters.
        rng: Source of the draws.
        draws: Number of resamples.
        level: Coverage wanted.
        scale: Unit of the value, for print.
    """
    value = float(np.asarray(statistic(np.ones((1, m))))[0])
    values = np.asarray(statistic(draw_weights(m, draws, rng)), dtype=np.float64)
    return percentile_estimate(value, values, m, level, scale=scale)


def both_roles(found: Estimate, least: float = -math.inf, most: float = math.inf) -> Estimate:
    """The interval of a cross-validated value, whose clusters train as well as test.

    Resampling held-out scores varies a cluster as a test only. Where there is nothing to learn, training matters as
    much: what cluster a teaches about b is what b teaches about a, every such pair counts twice, and the variance is
    double. Where there is much to learn training matters little. The interval is widened by sqrt(2) around the value,
    which is right at chance and cautious above it.

    Args:
        found: a value with its interval from resampling held-out scores.
        least: the smallest possible value.
        most: the largest possible value.
    """
    if not found.has_interval:
        return found
    low, high = (found.value + math.sqrt(2) * (end - found.value) for end in (found.low, found.high))
    return replace(found, low=max(low, least), high=min(high, most), method=f"{found.method}, both roles")
