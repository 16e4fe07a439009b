"""Changes under many random treatments, crossed with prompts: both are a sample, and both enter the interval.

    change        r - r0,     r = sum of hits / sum of trials under all k treatments, r0 with none, on the same prompts
    variance      prompts + treatments,   treatments = max(0, by treatment - by cell)           (two-way clustering)
    another one   a treatment that was not drawn differs from their mean by tau^2 (1 + 1/k),    tau^2 = k treatments

How much treatments differ is known poorly where each was tried on few prompts: the estimate is often zero, and another
one would then seem to be as the mean is. For another one it is therefore put at the estimate plus its standard error.

Source: Cameron, Gelbach and Miller, J. Bus. Econ. Stat. 29 (2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from multidir.errors import DesignError
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray

_METHOD = "two-way clustered t"


@dataclass(frozen=True, eq=False)
class Ratio:
    """A ratio of sums over prompts, with the influence of every prompt."""

    value: float
    influence: FloatArray
    """(m,)."""

    @classmethod
    def of(cls, hits: FloatArray, trials: FloatArray) -> Ratio:
        """From (m,) sums per prompt; nan where nothing was tried."""
        total = float(np.sum(trials))
        if total == 0:
            return cls(np.nan, np.full(np.shape(hits), np.nan))
        value = float(np.sum(hits)) / total
        return cls(value, (np.asarray(hits) - value * np.asarray(trials)) / total)


@dataclass(frozen=True, eq=False)
class RandomTreatments:
    """What k random treatments do together, on m prompts."""

    value: float
    cells: FloatArray
    """(k, m) influence of every treatment's prompts; zero where it was not tried."""

    @classmethod
    def of(cls, hits: FloatArray, trials: FloatArray) -> RandomTreatments:
        """From (k, m) sums per treatment and prompt.

        Raises:
            DesignError: fewer than two treatments.
        """
        if len(hits) < 2:
            raise DesignError(f"how far random treatments differ takes at least two of them, got {len(hits)}")
        pooled = Ratio.of(np.ravel(hits), np.ravel(trials))
        return cls(pooled.value, pooled.influence.reshape(np.shape(hits)))

    def between(self, errors: float = 0.0) -> float:
        """Variance of the pooled value that comes from which treatments were drawn; never below zero.

        Args:
            errors: standard errors of this estimate by which it is raised.
        """
        k = len(self.cells)
        by_treatment = k / (k - 1) * float((self.cells.sum(axis=1) ** 2).sum())
        return max(0.0, by_treatment * (1 + errors * math.sqrt(2 / (k - 1))) - float((self.cells**2).sum()))

    def change(self, plain: Ratio, scale: str = "share", level: float = 0.95) -> Estimate:
        """Their mean effect: the pooled value minus that of nothing done."""
        variance = _over(self.cells.sum(axis=0) - plain.influence) + self.between()
        return self._estimate(self.value - plain.value, variance, scale, level)

    def beyond(self, real: Ratio, scale: str = "share", level: float = 0.95) -> Estimate:
        """A chosen treatment minus another random one: zero where the chosen one may be one of them."""
        k = len(self.cells)
        variance = _over(real.influence - self.cells.sum(axis=0)) + self.between(errors=1.0) * (k + 1)
        return self._estimate(real.value - self.value, variance, scale, level)

    def _estimate(self, value: float, variance: float, scale: str, level: float) -> Estimate:
        n = self.cells.shape[1]
        if not np.isfinite(variance) or variance == 0 or n < 2:
            return Estimate(value, np.nan, np.nan, n, _METHOD, scale, level)
        half = float(stats.t.ppf((1 + level) / 2, min(self.cells.shape) - 1) * np.sqrt(variance))
        return Estimate(value, value - half, value + half, n, _METHOD, scale, level)


def _over(influence: FloatArray) -> float:
    """Variance of a sum of influences over prompts."""
    m = len(influence)
    return m / (m - 1) * float((influence**2).sum()) if m > 1 else np.nan
