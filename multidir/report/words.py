"""Numbers as people read them: shares in percent, folds, estimates with their interval, unknowns in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from multidir.stats.estimate import NOT_ESTIMABLE as NOT_ESTIMABLE  # for those who write numbers themselves
from multidir.stats.estimate import Estimate, percent_digits
from multidir.stats.estimate import percent as share_with_interval

UNSCORED = "not scored"


def is_unknown(value: object) -> bool:
    """Whether a cell holds no value (None, nan, or the missing value of pandas)."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def percent(share: float) -> str:
    """A share as percent with two meaningful digits: 0.3604 -> `36%`, 0.0081 -> `0.8%`."""
    if is_unknown(share):
        return UNSCORED
    return f"{share:.{percent_digits(share)}%}"


def percent_estimate(share: float, low: float, high: float) -> str:
    """A share with its interval: `36% [31, 41]`."""
    if is_unknown(share):
        return UNSCORED
    return share_with_interval(share, *_known(low, high))


def estimate(value: float, low: float, high: float, decimals: int = 2, sign: str = "") -> str:
    """A value with its interval: `0.31 [0.22, 0.40]`; the sign `+` writes that of the value always."""
    if is_unknown(value):
        return UNSCORED
    low, high = _known(low, high)
    return f"{Estimate(value, low, high, 0, ''):{sign}.{decimals}f}"


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


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop; nothing stays nothing."""
    return capital(text) + ("" if not text or text.endswith((".", "?", "!")) else ".")


def dose_axis(unit: str) -> str:
    """Axis label for a dose unit."""
    known = {"relative": "multiples of the mean residual norm", "residual": "residual-stream units"}
    return f"dose ({known.get(unit, unit)})"


def members(pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """What both of a pair are called: their names where there is one pair, else their place in its name."""
    return pairs[0] if len(pairs) == 1 else ("the one named first", "the one named second")


def _known(low: float, high: float) -> tuple[float, float]:
    return (math.nan if is_unknown(low) else float(low), math.nan if is_unknown(high) else float(high))
