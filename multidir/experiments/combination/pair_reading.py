"""The joint reading of a pair from its two axes: the plane (delta, 1/p) with its named regions.

| 1/p        | delta above 0.1   | within 0.3 of 0    | below -0.1        |
|------------|-------------------|--------------------|-------------------|
| above 1    | synergy           | independent causes | -                 |
| 0.8 to 1.2 | threshold pooling | additive           | threshold pooling |
| below 1    | norm only         | independent causes | redundant         |
| below 0    | -                 | -                  | antagonism        |

A direction that does nothing alone adds to anything: *additive*, *norm only*, *independent causes* and *redundant* are
only read where each of the two visibly acts by itself, by more than the margin within which interactions are ignored.

*Norm only*: the interval of 1/p holds 1/2, and the pair does more than separate causes would. *Independent causes* add
on log-odds (each with a threshold of its own, or with a ceiling that no dose of it alone gets over) or on hazards
(Bliss); *redundant* is less than both. Where two readings are possible, neither is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from multidir.experiments.combination.pair_axes import PairAxes
from multidir.experiments.combination.rules import CombinationRules
from multidir.records.combination import Combination
from multidir.stats.contrast import Contrast


class LogOdds(Enum):
    """Axis 1 alone."""

    SYNERGY = "more than additive"
    ANTAGONISM = "less than additive"
    ADDITIVE = "additive"
    UNDETERMINED = "undetermined"


class Doses(Enum):
    """Axis 2 alone."""

    ABOVE = "above 1"
    ONE = "dose-additive"
    BELOW = "below 1"
    UNDETERMINED = "undetermined"
    FLAT = "flat ladder"
    NOT_RUN = "no ladder"


NEED_BOTH = (Combination.ADDITIVE, Combination.NORM_ONLY, Combination.INDEPENDENT_CAUSES, Combination.REDUNDANT)
"""Readings that say how two effects add up, and so need two effects."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Both axes of one pair."""

    pair: tuple[int, int]
    delta: Contrast
    p_claim: float
    """Holm-adjusted p-value of the null that delta lies within the inner margin."""
    axes: PairAxes
    norm_exponent: float = 0.5
    """1/p of a single direction with the pair's norm: log2 sqrt(2 + 2 cosine)."""

    @property
    def scale_robust(self) -> bool:
        """Whether the sign of the interaction is the same on log-odds, hazards and shares."""
        values = (self.delta.value, self.axes.hazard.value, self.axes.share.value)
        return all(v > 0 for v in values) or all(v < 0 for v in values)


def log_odds_axis(evidence: Evidence, rules: CombinationRules) -> LogOdds:
    """Accepted as additive, claimed to interact, or neither. A real but negligible interaction is additive."""
    if evidence.delta.p_within(rules.outer_margin) < rules.alpha:
        return LogOdds.ADDITIVE
    if evidence.p_claim < rules.alpha:
        return LogOdds.SYNERGY if evidence.delta.value > 0 else LogOdds.ANTAGONISM
    return LogOdds.UNDETERMINED


def dose_axis(axes: PairAxes, rules: CombinationRules) -> Doses:
    """Where the exponent lies.

    A flat ladder says nothing, except on a pair beyond its top rung or below its first one: more than any dose of a
    direction does, or less than its own dose does, needs no rising curve.
    """
    exponent, wide = axes.exponent, axes.exponent_wide
    if not exponent.has_interval:
        return Doses.NOT_RUN
    if axes.flat and not axes.beyond and not exponent.high < 0:
        return Doses.FLAT
    if exponent.low >= rules.ladder_low and exponent.high <= rules.ladder_high:
        return Doses.ONE
    # on a plateau the monotone curve lies too low, the raw rung at twice the dose does not
    if wide.low > 1 and axes.over_sham.low > 0:
        return Doses.ABOVE
    return Doses.BELOW if wide.high < 1 else Doses.UNDETERMINED


def silent(axes: PairAxes, rules: CombinationRules) -> tuple[int, ...]:
    """Which of the two (0, 1) do not visibly act alone at their own dose."""
    return tuple(
        place
        for place, lift in enumerate(axes.lifts)
        if lift.has_interval and not (lift.low > 0 and lift.value >= rules.outer_margin)
    )


def read_pair(evidence: Evidence, rules: CombinationRules) -> Combination:
    """The label of the region that the pair lies in, before any control is looked at."""
    label = _region(evidence, rules)
    return Combination.UNDETERMINED if label in NEED_BOTH and silent(evidence.axes, rules) else label


def _region(evidence: Evidence, rules: CombinationRules) -> Combination:
    one, two = log_odds_axis(evidence, rules), dose_axis(evidence.axes, rules)
    over_best = evidence.axes.over_best
    if one is LogOdds.ANTAGONISM and over_best.has_interval and over_best.high < 0:
        return Combination.ANTAGONISM
    if two is Doses.ABOVE and one is LogOdds.SYNERGY:
        return Combination.SYNERGY
    if two is Doses.ABOVE and one is LogOdds.ADDITIVE and evidence.axes.beyond:
        return Combination.INDEPENDENT_CAUSES
    if two is Doses.ONE and one is not LogOdds.UNDETERMINED:
        return Combination.ADDITIVE if one is LogOdds.ADDITIVE else Combination.THRESHOLD_POOLING
    if two is Doses.BELOW:
        return _below_one(evidence, one, rules)
    return Combination.UNDETERMINED


def _below_one(evidence: Evidence, one: LogOdds, rules: CombinationRules) -> Combination:
    delta, axes = evidence.delta.estimate(), evidence.axes
    hazard, near = axes.hazard, axes.hazard_90
    norm = axes.exponent.low <= evidence.norm_exponent <= axes.exponent.high
    if not (delta.has_interval and hazard.has_interval):
        return Combination.UNDETERMINED
    if norm:
        more = delta.low > 0 and hazard.low > 0
        return Combination.NORM_ONLY if more else Combination.UNDETERMINED
    # separate causes on hazards and a large L^p norm of doses lie close together: here 0 must be inside as well
    bliss = not hazard.excludes(0) and -rules.bliss_margin < near.low and near.high < rules.bliss_margin
    if one is LogOdds.ADDITIVE or bliss:
        return Combination.INDEPENDENT_CAUSES
    less = delta.high < 0 and axes.hazard_wide.high < 0
    return Combination.REDUNDANT if less else Combination.UNDETERMINED
