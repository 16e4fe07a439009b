"""Ways in which two directions can act together, as log-odds shifts: the known answers of simulated tables.

Doses come as multiples s of each direction's own dose. One direction alone raises the log-odds by
`SPAN * hill(START * s)`, so that its own dose reaches 24 % of the rising limb and 2 sqrt2 of it 95 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from multidir.records.combination import Combination
from multidir.types import FloatArray

SPAN = 3.0
"""Log-odds between no dose and a very large one."""
START = 0.75
"""A direction's own dose over the dose of half its effect."""
STEEPNESS = 4.0
"""Hill exponent."""

Shift = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
"""From multiples of the first and of the second dose, and the log-odds at no dose, to log-odds above no dose."""


def hill(x: FloatArray, steepness: float = STEEPNESS) -> FloatArray:
    """x^h / (1 + x^h): 0 at no dose, one half at 1."""
    power = np.power(x, steepness)
    return np.asarray(power / (1 + power))


def pooled(a: FloatArray, b: FloatArray, _: FloatArray, p: float = 1.0, steepness: float = STEEPNESS) -> FloatArray:
    """One read-out of the L^p norm of the two doses: p = 1 their sum, 2 their norm, large p the larger one."""
    return SPAN * hill(START * (a**p + b**p) ** (1 / p), steepness)


def linear(a: FloatArray, b: FloatArray, _: FloatArray) -> FloatArray:
    """Log-odds rise in proportion to the sum of doses, by as much at the own dose as a Hill curve does."""
    return SPAN * hill(np.asarray(START)) * (a + b)


def channels(a: FloatArray, b: FloatArray, _: FloatArray) -> FloatArray:
    """Two read-outs, each with its own threshold, whose log-odds add."""
    return SPAN * (hill(START * a) + hill(START * b))


def gate(a: FloatArray, b: FloatArray, base: FloatArray, extra: float = 1.7) -> FloatArray:
    """Two read-outs, and `extra` log-odds when both directions are there."""
    return np.asarray(channels(a, b, base) + extra * ((a > 0) & (b > 0)))


def blocked(a: FloatArray, b: FloatArray, _: FloatArray) -> FloatArray:
    """The second direction does nothing alone and takes away what the first one does."""
    return np.asarray(SPAN * hill(START * a) * (b == 0))


def unequal(a: FloatArray, b: FloatArray, _: FloatArray) -> FloatArray:
    """One read-out (Loewe), reached along a steep curve (Hill 4) by the first and a shallow one (Hill 2) by the second.

    The level r with q = r / (1 - r) solves  START a q^(-1/4) + START^2 b q^(-1/2) = 1,  a quadratic in q^(-1/4).
    """
    u, v = START * a, START**2 * b
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(v > 0, 2 / (u + np.sqrt(u * u + 4 * v)), 1 / u)
        return np.asarray(SPAN / (1 + t**4))


def hazards(a: FloatArray, b: FloatArray, base: FloatArray) -> FloatArray:
    """Independent causes (Bliss): -log(1 - p) adds, each cause with its own curve."""

    def hazard(x: FloatArray) -> FloatArray:
        return np.asarray(np.logaddexp(0, base + SPAN * hill(START * x)))

    rest = np.logaddexp(0, base)
    return np.asarray(np.log(np.expm1(hazard(a) + hazard(b) - rest)) - base)


@dataclass(frozen=True)
class Mechanism:
    """A planted answer."""

    name: str
    shift: Shift
    label: Combination
    """What a perfect reader says."""


MECHANISMS: tuple[Mechanism, ...] = (
    Mechanism("one read-out, threshold", pooled, Combination.THRESHOLD_POOLING),
    Mechanism("one read-out, linear", linear, Combination.ADDITIVE),
    Mechanism("own thresholds", channels, Combination.INDEPENDENT_CAUSES),
    Mechanism("AND gate", gate, Combination.SYNERGY),
    Mechanism("norm only (p = 2)", partial(pooled, p=2.0), Combination.NORM_ONLY),
    Mechanism("winner takes all (p = 6)", partial(pooled, p=6.0), Combination.REDUNDANT),
    Mechanism("one read-out, unequal slopes", unequal, Combination.THRESHOLD_POOLING),
    Mechanism("antagonist", blocked, Combination.ANTAGONISM),
)
"""The eight that the verdict has to tell apart."""
