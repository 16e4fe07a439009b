"""How far a counted coverage may lie from the nominal one by chance alone."""

from __future__ import annotations

from scipy import stats


def binomial_band(repeats: int, level: float, slack: float = 0.0) -> tuple[float, float]:
    """Shares within which an interval of true coverage `level` (or down to `level - slack`) falls 999 times in 1000."""
    low = stats.binom.ppf(0.0005, repeats, level - slack) / repeats
    high = stats.binom.ppf(0.9995, repeats, level) / repeats
    return float(low), float(high)
