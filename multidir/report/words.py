"""Numbers as people read them: shares in percent, folds, estimates with their interval, unknowns in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

UNSCORED = "not scored"
NOT_ESTIMABLE = "[not estimable]"


def is_unknown(value: object) -> bool:
    """Whether a cell holds no value (None, nan, or the missing value of pandas)."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def percent(share: float) -> str:
    """A share as percent with two meaningful digits: 0.3604 -> `36%`, 0.0081 -> `0.8%`."""
    if is_unknown(share):
        return UNSCORED
    return f"{100 * share:.{_percent_decimals(share)}f}%"


def percent_estimate(share: float, low: float, high: float) -> str:
    """A share with its interval: `36% [31, 41]`."""
    if is_unknown(share):
        return UNSCORED
    if is_unknown(low) or is_unknown(high):
        return f"{percent(share)} {NOT_ESTIMABLE}"
    decimals = _percent_decimals(share)
    return f"{percent(share)} [{100 * low:.{decimals}f}, {100 * high:.{decimals}f}]"


def estimate(value: float, low: float, high: float, decimals: int = 2) -> str:
    """A value with its interval: `0.31 [0.22, 0.40]`."""
    if is_unknown(value):
        return UNSCORED
    if is_unknown(low) or is_unknown(high):
        return f"{value:.{decimals}f} {NOT_ESTIMABLE}"
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def fold(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A fold change, with its interval where it is known: `4.3x [3.1, 5.9]`."""
    if is_unknown(value):
        return UNSCORED
    digits = 1 if abs(value) < 9.95 else 0
    interval = "" if is_unknown(low) or is_unknown(high) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}x{interval}"


def window(low: float, high: float) -> str:
    """A token window in the notation of the project: `-13..-8`."""
    return f"{low:g}..{high:g}"


def joined(items: list[str]) -> str:
    """A list in a sentence: `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def capital(sentence: str) -> str:
    """The sentence with a capital letter, the rest untouched."""
    return sentence[:1].upper() + sentence[1:]


def dose_axis(unit: str) -> str:
    """Axis label for a dose unit."""
    known = {"relative": "multiples of the mean residual norm", "residual": "residual-stream units"}
    return f"dose ({known.get(unit, unit)})"


def _percent_decimals(share: float) -> int:
    return 0 if abs(share) >= 0.0995 else 1


def members(pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """What both of a pair are called: their names where there is one pair, else their place in its name."""
    return pairs[0] if len(pairs) == 1 else ("the one named first", "the one named second")
