"""Intervals from resampling whole clusters: bootstrap and jackknife over prompts or traces.

Rows of one trace are not independent, so the unit that is drawn is the trace. Statistics are written as
functions of cluster weights wherever possible: `weights (draws, m)` in, `(draws,)` out, so that a thousand
draws are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from multidir.errors import DesignError
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray, IntArray

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
    """Cluster bootstrap of a statistic of cluster weights: the fast path.

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


def cluster_bootstrap(
    statistic: Callable[[np.ndarray], float],
    clusters: IntArray | Sequence[np.ndarray],
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
    scale: str = "",
) -> Estimate:
    """Percentile interval from resampling clusters, for a statistic that is not a function of weights.

    Args:
        statistic: With `clusters` as (n,) ints: from an index array into the n rows to a number. With a list
            of per-cluster arrays: from their concatenation to a number.
        clusters: (n,) int cluster of each row, in any order; or one array of rows per cluster.
        rng: Source of the draws.
        draws: Number of resamples.
        level: Coverage wanted.
        scale: Unit of the value, for print.
    Raises:
        DesignError: no cluster.
    """
    parts = list(clusters) if not isinstance(clusters, np.ndarray) else _members(clusters)
    m = len(parts)
    if m == 0:
        raise DesignError("a cluster bootstrap needs at least one cluster, got none")
    picks = rng.integers(0, m, size=(draws, m)) if m > 1 else np.zeros((1, 1), dtype=np.int64)
    values = np.array([statistic(np.concatenate([parts[i] for i in row])) for row in picks], dtype=np.float64)
    return percentile_estimate(float(statistic(np.concatenate(parts))), values, m, level, scale=scale)


def jackknife(statistic: WeightStatistic, m: int, level: float = 0.95, scale: str = "") -> Estimate:
    """Delete-one-cluster jackknife: needs no random numbers and m evaluations only.

        se^2 = (m - 1) / m * sum (value without i - their mean)^2,      interval: value -+ t(m - 1) se

    Good for smooth statistics (ratios, means); not for medians or other quantiles.

    Args:
        statistic: As in `weighted_bootstrap`.
        m: Number of clusters.
        level: Coverage wanted.
        scale: Unit of the value, for print.
    """
    value = float(np.asarray(statistic(np.ones((1, m))))[0])
    values = np.asarray(statistic(1.0 - np.eye(m)), dtype=np.float64) if m > 1 else np.array([math.nan])
    error = math.sqrt((m - 1) * float(np.var(values)))
    if math.isnan(error) or error == 0:
        return Estimate(value, math.nan, math.nan, m, "jackknife", scale, level)
    half = float(stats.t.ppf((1 + level) / 2, m - 1)) * error
    return Estimate(value, value - half, value + half, m, "jackknife", scale, level)


def _members(clusters: IntArray) -> list[np.ndarray]:
    """Row indices of each cluster, clusters in ascending order of their number."""
    _, inverse, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.cumsum(counts)[:-1]) if counts.size else []
