"""Mean and variance of rows that arrive in pieces, in any order and from any number of workers."""

from __future__ import annotations

from dataclasses import dataclass

from multidir.errors import DesignError
from multidir.linalg.namespace import Array, as_float64, namespace


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and (optionally) summed squared deviations of the rows seen so far.

    Sums of squares are never formed, so a large common offset, as outlier channels have it, costs no
    digits. `update` and `merge` return new objects; any way of cutting the rows gives the same result up
    to rounding.

    Source: Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """

    count: int
    mean: Array
    """(d,) float64. Zeros while `count` is 0: read `count` first."""
    m2: Array | None = None
    """(d,) float64: sum of squared deviations from the mean; None when only means are kept."""

    @classmethod
    def of(cls, rows: Array, second: bool = True) -> Moments:
        """Moments of (n, d) rows; `second=False` keeps means only."""
        x = as_float64(rows)
        if x.ndim != 2:
            raise DesignError(f"moments need rows of shape (n, d), got shape {tuple(x.shape)}")
        xp, n = namespace(x), int(x.shape[0])
        mean = xp.sum(x, axis=0) / max(n, 1)
        return cls(n, mean, xp.sum((x - mean) ** 2, axis=0) if second else None)

    def update(self, rows: Array) -> Moments:
        """Moments with (n, d) more rows."""
        return self.merge(Moments.of(rows, second=self.m2 is not None))

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of rows together.

        Raises:
            DesignError: widths differ, or one keeps squared deviations and the other does not.
        """
        if tuple(self.mean.shape) != tuple(other.mean.shape):
            raise DesignError(f"moments of width {self.mean.shape[0]} and {other.mean.shape[0]} cannot be merged")
        if (self.m2 is None) != (other.m2 is None):
            raise DesignError(
                "moments with and without squared deviations cannot be merged; give both the same `second`"
            )
        total = self.count + other.count
        share = other.count / total if total else 0.0
        delta = other.mean - self.mean
        mean = self.mean + delta * share
        if self.m2 is None or other.m2 is None:
            return Moments(total, mean)
        return Moments(total, mean, self.m2 + other.m2 + delta**2 * (self.count * share))

    def variance(self, ddof: int = 1) -> Array:
        """(d,) float64: squared deviations over `count - ddof`.

        Raises:
            DesignError: no squared deviations were kept, or there are too few rows.
        """
        if self.m2 is None:
            raise DesignError("these moments keep means only; make them with second=True to have a variance")
        if self.count <= ddof:
            raise DesignError(f"a variance with ddof={ddof} needs more than {ddof} rows, got {self.count}")
        return self.m2 / (self.count - ddof)
