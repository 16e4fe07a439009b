"""Shares and fold changes: Wilson intervals, ratios of sums over clusters, ratios of such ratios."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from multidir.errors import DesignError
from multidir.stats.bootstrap import draw_weights, percentile_estimate
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray


def wilson(successes: int, n: int, level: float = 0.95, scale: str = "share") -> Estimate:
    """Wilson score interval of a share of independent trials; a sensible interval at 0 and n too.

    Args:
        successes: How many of the trials, 0..n.
        n: Trials; with none the value is nan and the interval not estimable.
        level: Coverage wanted.
        scale: What the share is of, for print.
    Raises:
        DesignError: more successes than trials, or negative counts.
    Source: E. B. Wilson, JASA 22 (1927).
    """
    if not 0 <= successes <= n:
        raise DesignError(f"a share needs 0 <= successes <= n, got {successes} of {n}")
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "Wilson", scale, level)
    low, high = _wilson_ends(successes / n, n, level)
    return Estimate(successes / n, low, high, n, "Wilson", scale, level)


def ratio_of_sums(
    num: FloatArray,
    den: FloatArray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
    scale: str = "",
    icc: float = 1.0,
) -> Estimate:
    """sum(num) / sum(den) over clusters, interval from resampling clusters.

    Clusters weigh by their denominator, as a share of all sentences does. When every cluster has a share of
    0 (or every one has 1), all resamples agree and the bootstrap has nothing to say; the interval is then
    Wilson's, with n / (1 + (n - 1) icc) independent trials in a cluster of n. The data cannot tell icc there: 1
    is safe (a cluster is one trial), 0 takes all its units as independent, which suits rare events.

    Args:
        num: (m,) float. Per cluster, for example backtracking sentences of all rollouts of a prompt.
        den: (m,) float, not negative. Per cluster, for example sentences.
        rng: Source of the draws.
        draws: Number of resamples.
        level: Coverage wanted.
        scale: Unit of the ratio, for print.
        icc: Intraclass correlation assumed for a share of 0 or 1, in [0, 1]. Not used otherwise.
    Raises:
        DesignError: shapes differ, the denominators sum to zero, or icc is no correlation.
    """
    if not 0 <= icc <= 1:
        raise DesignError(f"icc is an intraclass correlation in [0, 1], got {icc}")
    numerator, denominator = _pair(num, den)
    m, value = numerator.size, float(numerator.sum() / denominator.sum())
    if m > 1 and (not numerator.any() or np.array_equal(numerator, denominator)):
        size = denominator[denominator > 0]
        trials = float((size / (1 + np.maximum(size - 1, 0) * icc)).sum())
        return Estimate(value, *_wilson_ends(value, trials, level), m, f"Wilson, icc {icc:g}", scale, level)
    weights = draw_weights(m, draws, rng)
    return percentile_estimate(value, _divide(weights @ numerator, weights @ denominator), m, level, scale=scale)


def ratio_of_ratios(
    num: FloatArray,
    den: FloatArray,
    num_0: FloatArray,
    den_0: FloatArray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
    scale: str = "fold",
    pseudo: float = 0.0,
) -> Estimate:
    """Fold change of a ratio of sums over a baseline on the same clusters (both are resampled together).

        (sum(num) + pseudo) / sum(den)  :  (sum(num_0) + pseudo) / sum(den_0)

    Args:
        num: (m,) float. Events per cluster, treated.
        den: (m,) float. Units per cluster, treated.
        num_0: (m,) float. Events of the same clusters at the baseline.
        den_0: (m,) float. Units of the same clusters at the baseline.
        rng: Source of the draws.
        draws: Number of resamples.
        level: Coverage wanted.
        scale: For print.
        pseudo: Events added to both sums (0.5 is usual); pulls the fold towards 1 and keeps it finite when the
            baseline has no event. Without it such a fold is inf (nan when neither has one) and not estimable.
    Raises:
        DesignError: shapes differ, or a denominator is zero.
    """
    (a, b), (c, d) = _pair(num, den), _pair(num_0, den_0)
    if a.size != c.size:
        raise DesignError(f"a fold change compares the same clusters; got {a.size} treated and {c.size} baseline")

    def fold(w: FloatArray) -> FloatArray:
        return _divide(_divide(w @ a + pseudo, w @ b), _divide(w @ c + pseudo, w @ d))

    value = float(fold(np.ones((1, a.size)))[0])
    return percentile_estimate(value, fold(draw_weights(a.size, draws, rng)), a.size, level, scale=scale)


def _wilson_ends(share: float, n: float, level: float) -> tuple[float, float]:
    """Both ends of the score interval; the end at an extreme share is exact, not off by rounding."""
    z = float(stats.norm.ppf((1 + level) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def _divide(a: FloatArray, b: FloatArray) -> FloatArray:
    """Quotient with nan for 0 / 0 and inf for x / 0, silently: both are meant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return a / b


def _pair(num: FloatArray, den: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both as float64 (m,), checked."""
    a, b = np.asarray(num, dtype=np.float64), np.asarray(den, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise DesignError(f"a ratio needs one numerator and one denominator per cluster, got {a.shape} and {b.shape}")
    if not np.isfinite(a).all() or not np.isfinite(b).all() or (b < 0).any():
        raise DesignError("a ratio needs finite numbers and denominators of at least 0; leave unscored clusters out")
    if b.sum() == 0:
        raise DesignError(f"the denominators of {b.size} clusters sum to zero, so that the ratio is not defined")
    return a, b
