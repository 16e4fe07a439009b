"""A number with its interval: the only form in which multidir reports a statistic."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

from scipy.special import stdtrit

from multidir.errors import DesignError

NOT_ESTIMABLE = "[not estimable]"
"""What stands where an interval would."""


def percent(share: float, low: float, high: float) -> str:
    """A share with its interval, two digits that mean something: `36% [31, 41]`, `0.8% [0.2, 1.4]`."""
    digits = percent_digits(share)
    known = not (math.isnan(low) or math.isnan(high))
    interval = f"[{100 * low:.{digits}f}, {100 * high:.{digits}f}]" if known else NOT_ESTIMABLE
    return f"{share:.{digits}%} {interval}"


def percent_digits(share: float) -> int:
    """Digits after the point that a share in percent is written with."""
    return 0 if abs(share) >= 0.0995 else 1


@dataclass(frozen=True)
class Estimate:
    """A value, its interval, how many independent units it rests on, and how it was made.

    An interval that cannot be computed (fewer than two clusters, say) is nan on both sides and prints as
    `[not estimable]`; it is never a zero-width interval.
    """

    value: float
    low: float
    high: float
    n: int
    """Independent units (clusters, usually prompts), not rows."""
    method: str
    """`cluster bootstrap`, `cluster jackknife`, `Wilson`, ..."""
    scale: str = ""
    """Unit or scale: `share of sentences`, `log-odds`, `cosine`."""
    level: float = 0.95

    def __post_init__(self) -> None:
        """Refuse a reversed interval."""
        if self.low > self.high:
            raise DesignError(f"interval of {self.value:g} is reversed: [{self.low:g}, {self.high:g}]")

    @classmethod
    def from_error(
        cls,
        value: float,
        error: float,
        n: int,
        method: str,
        scale: str = "",
        level: float = 0.95,
        freedom: int | None = None,
    ) -> Self:
        """Value -+ t(freedom) error; not estimable where the error is unknown, or zero as of data that do not vary.

        Args:
            value: of the statistic.
            error: its standard error.
            n: independent units.
            method: how the error was found.
            scale: for print.
            level: coverage wanted.
            freedom: degrees of freedom of the error; n - 1 when absent.
        """
        known = math.isfinite(error) and error > 0 and n > 1
        half = error * float(stdtrit(n - 1 if freedom is None else freedom, (1 + level) / 2)) if known else math.nan
        return cls(value, value - half, value + half, n, method, scale, level)

    def times(self, factor: float) -> Self:
        """The same in another unit, or with the sign of the opposite."""
        low, high = sorted((factor * self.low, factor * self.high)) if self.has_interval else (math.nan, math.nan)
        return replace(self, value=factor * self.value, low=low, high=high)

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def excludes(self, value: float) -> bool:
        """Whether the interval is known and does not contain the value."""
        return self.has_interval and not self.low <= value <= self.high

    @property
    def percent(self) -> str:
        """A share as people read it."""
        return percent(self.value, self.low, self.high)

    def __format__(self, spec: str) -> str:
        """Value and interval as people read them: `f"{estimate:+.2f}"` is `+0.72 [0.56, 0.89]`."""
        if not spec:
            return str(self)
        plain = spec.lstrip("+")
        interval = f"[{self.low:{plain}}, {self.high:{plain}}]" if self.has_interval else NOT_ESTIMABLE
        return f"{self.value:{spec}} {interval}"

    def __str__(self) -> str:
        interval = f"[{self.low:.3g}, {self.high:.3g}]" if self.has_interval else NOT_ESTIMABLE
        return f"{self.value:.3g} {interval} ({', '.join(p for p in (self.scale, f'n={self.n}', self.method) if p)})"
