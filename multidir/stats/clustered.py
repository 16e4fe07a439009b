"""Means, and differences of means between two classes of rows, many columns at once, with errors over clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multidir.errors import DesignError
from multidir.stats.estimate import Estimate
from multidir.types import BoolArray, FloatArray, IntArray

_METHOD = "cluster-robust t"


@dataclass(frozen=True, eq=False)
class MeanDifferences:
    """Mean of the positive rows minus mean of the others, by column."""

    value: FloatArray
    """(f,) float64."""
    error: FloatArray
    """(f,) float64: standard error, clusters independent of each other; nan for a column that is constant."""
    clusters: int

    @property
    def t(self) -> FloatArray:
        """(f,) value over error; nan where the error is unknown."""
        found: FloatArray = self.value / self.error
        return found

    def estimate(self, column: int, scale: str = "", level: float = 0.95) -> Estimate:
        """One column with its interval, from Student's t with one degree of freedom less than clusters."""
        value, error = float(self.value[column]), float(self.error[column])
        return Estimate.from_error(value, error, self.clusters, _METHOD, scale, level)


def cluster_means(values: FloatArray, clusters: IntArray, scale: str = "", level: float = 0.95) -> list[Estimate]:
    """The mean of every column with the sandwich error over clusters, as `mean_differences` takes it.

        var(mean) = m / (m - 1) sum over clusters of (sum of x - mean)^2 / n^2

    Args:
        values: (n, f) float.
        clusters: (n,) int.
        scale: for print.
        level: coverage wanted.
    Returns:
        f estimates; with a single cluster the interval is not known.
    Raises:
        DesignError: no rows, or a cluster per row is missing.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or not len(x) or np.shape(clusters) != x.shape[:1]:
        raise DesignError(f"a mean needs rows (n, f) with a cluster each, got {x.shape} and {np.shape(clusters)}")
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    mean, m = x.mean(axis=0), names.size
    summed = np.zeros((m, x.shape[1]))
    np.add.at(summed, cluster, (x - mean) / len(x))
    error = np.sqrt((summed**2).sum(axis=0) * m / (m - 1)) if m > 1 else np.full(x.shape[1], np.nan)
    pairs = zip(mean.tolist(), error.tolist(), strict=True)
    return [Estimate.from_error(each, its, m, _METHOD, scale, level) for each, its in pairs]


def mean_differences(values: FloatArray, positive: BoolArray, clusters: IntArray) -> MeanDifferences:
    """Regress every column on class membership, with the sandwich error over clusters.

        b = mean(x[z]) - mean(x[~z])      var(b) = c sum over clusters of (sum of the influences of its rows)^2
        c = m / (m - 1) (n - 1) / (n - 2)           (CR1, as in Stata and statsmodels)

    Args:
        values: (n, f) float.
        positive: (n,) bool.
        clusters: (n,) int. Trace or prompt of each row.
    Raises:
        DesignError: a class is empty, fewer than two clusters or three rows, a value is not finite, or shapes differ.
    """
    x, z = np.asarray(values, dtype=np.float64), np.asarray(positive, dtype=bool)
    if x.ndim != 2 or z.shape != x.shape[:1] or np.shape(clusters) != z.shape:
        raise DesignError(f"expected values (n, f) with a class and a cluster per row, got {x.shape} and {z.shape}")
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    n, m, hits = len(x), names.size, int(z.sum())
    if not 0 < hits < n or m < 2 or n < 3:
        raise DesignError(
            f"a difference of means needs both classes and two clusters; {hits} of {n} rows, {m} clusters"
        )
    if not np.isfinite(x).all():
        rows = np.flatnonzero(~np.isfinite(x).all(axis=1))
        raise DesignError(f"{rows.size} of {n} rows are not finite, the first is {rows[0]}; leave them out")
    means = x[z].mean(axis=0), x[~z].mean(axis=0)
    influence = np.where(z[:, None], (x - means[0]) / hits, (means[1] - x) / (n - hits))
    summed = np.zeros((m, x.shape[1]))
    np.add.at(summed, cluster, influence)
    error = np.sqrt((summed**2).sum(axis=0) * m / (m - 1) * (n - 1) / (n - 2))
    constant = np.ptp(x, axis=0) == 0
    return MeanDifferences(means[0] - means[1], np.where(constant, np.nan, error), m)
