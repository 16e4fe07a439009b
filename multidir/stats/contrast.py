"""A number together with what each prompt contributes to its error: differences on the same prompts come out right.

    variance(a) = sum_i a_i^2,     variance(a - b) = sum_i (a_i - b_i)^2

over prompts i, so two estimates from the same prompts share the luck of those prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from multidir.errors import DesignError
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray


@dataclass(frozen=True, eq=False)
class Contrast:
    """A value, its deviations by prompt, and the tests that a verdict is made of; t with n - 1 degrees of freedom."""

    value: float
    spread: FloatArray
    """(m,) float64, scaled so that their sum of squares is the variance."""
    n: int
    """Prompts that inform it."""
    method: str = ""

    @property
    def error(self) -> float:
        """Standard error; nan when it cannot be computed."""
        error = math.sqrt(float(self.spread @ self.spread)) if self.n > 1 else math.nan
        return error if error > 0 else math.nan

    def __sub__(self, other: Contrast) -> Contrast:
        if self.spread.shape != other.spread.shape:
            raise DesignError(
                f"two contrasts are compared over the same prompts, got {self.spread.size} and {other.spread.size}"
            )
        shared = ((self.spread != 0) & (other.spread != 0)).any()
        n = int(((self.spread != 0) | (other.spread != 0)).sum()) if shared else self._welch(other)
        return Contrast(self.value - other.value, self.spread - other.spread, n, self.method)

    def _welch(self, other: Contrast) -> int:
        """Prompts whose t distribution fits a difference of two groups that share none (B. L. Welch, 1947)."""
        a, b = self.error**2, other.error**2
        if math.isnan(a + b):
            return min(self.n, other.n)
        return 1 + int((a + b) ** 2 / (a**2 / (self.n - 1) + b**2 / (other.n - 1)))

    def estimate(self, scale: str = "log-odds", level: float = 0.95) -> Estimate:
        """The value with its interval."""
        return Estimate.from_error(self.value, self.error, self.n, self.method, scale, level)

    def p_beyond(self, margin: float) -> float:
        """Two-sided p-value of the null that the value lies within -margin..margin; margin 0 is the point null.

        Below 0.05 exactly when the 95 % interval lies beyond the margin on one side.
        """
        if math.isnan(self.error):
            return math.nan
        return float(min(1.0, 2 * stats.t.sf((abs(self.value) - margin) / self.error, self.n - 1)))

    def p_within(self, margin: float) -> float:
        """P-value of two one-sided tests that the value lies within -margin..margin (equivalence).

        Below 0.05 exactly when the 90 % interval lies within the margins.
        Source: D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987).
        """
        if math.isnan(self.error):
            return math.nan
        return float(stats.t.sf((margin - abs(self.value)) / self.error, self.n - 1))


def holm(p_values: FloatArray) -> FloatArray:
    """Holm-adjusted p-values: rejecting those below alpha keeps the family-wise error at alpha.

    Args:
        p_values: (h,) float; nan for tests that could not be made, which do not count.
    Returns:
        (h,) float64, nan where the input is.
    Source: S. Holm, Scand. J. Statist. 6 (1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = np.maximum.accumulate(p[order] * (known.size - np.arange(known.size)))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def omnibus(value: FloatArray, spread: FloatArray, n: int) -> float:
    """P-value of the null that all of several coefficients are zero, clustered by prompt.

        F = (n - q) / (q (n - 1)) beta' V^-1 beta   ~   F(q, n - q)        (Hotelling)

    Args:
        value: (q,) float. Coefficients; those that are nan, or whose deviations are not finite, are left out.
        spread: (m, q) float. Their deviations by prompt.
        n: Prompts that inform them.
    Returns:
        nan when nothing is left to test or there are not enough prompts.
    Source: H. Hotelling (1931); for cluster-robust tests Pustejovsky and Tipton, J. Bus. Econ. Stat. 36 (2018).
    """
    known = ~np.isnan(value) & np.isfinite(spread).all(axis=0)
    beta, deviations = value[known], spread[:, known]
    q = beta.size
    if q == 0 or n <= q:
        return math.nan
    statistic = float(beta @ np.linalg.lstsq(deviations.T @ deviations, beta, rcond=None)[0])
    return float(stats.f.sf(statistic * (n - q) / (q * (n - 1)), q, n - q))
