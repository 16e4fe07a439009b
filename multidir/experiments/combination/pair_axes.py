"""Axis 2 and the other scales of a pair: one bootstrap of prompts through ladders, hazards, shares and loops.

    exponent 1/p      which dose of one direction the pair equals (see stats.ladder)
    Bliss residual    log of the pair's hazard over that of two independent causes, h_a + h_b - h_0, h = -log(1 - p)
    share             p_ab - p_a - p_b + p_0
    over the best     log-odds of the pair over those of the better single direction
    over the sham     log-odds of the pair over those of the better direction at twice its dose

Prompts weigh the same in every cell: a prompt that happens to write more sentences in one cell would otherwise add
noise. Only prompts that were run in all cells of a comparison take part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from multidir.experiments.combination.layout import Ladder, Layout
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.tally import Tally
from multidir.stats.bootstrap import percentile_estimate
from multidir.stats.estimate import Estimate
from multidir.stats.ladder import Bounds, monotone, multiple, pair_exponent, smooth_logit
from multidir.types import FloatArray

UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0, "not run")


@dataclass(frozen=True, eq=False)
class PairAxes:
    """What the bootstrap says on one pair; what was not run is unknown."""

    exponent: Estimate = UNKNOWN
    """1/p, 95 %."""
    exponent_wide: Estimate = UNKNOWN
    """1/p, at the level at which dose additivity is rejected."""
    multiples: tuple[float, float] = (math.nan, math.nan)
    """Multiples of each direction's own dose that alone do what the pair does."""
    hazard: Estimate = UNKNOWN
    """Bliss residual, 95 %."""
    hazard_90: Estimate = UNKNOWN
    hazard_wide: Estimate = UNKNOWN
    """The same at the level at which separate causes are rejected."""
    share: Estimate = UNKNOWN
    lifts: tuple[Estimate, Estimate] = (UNKNOWN, UNKNOWN)
    """What each direction does alone at its own dose: its log-odds over those of the unsteered cell."""
    over_best: Estimate = UNKNOWN
    over_sham: Estimate = UNKNOWN
    flat: tuple[str, ...] = ()
    """Directions whose ladder does not rise."""
    beyond: bool = False
    """The pair lies above the top rung of both ladders, in at least 97.5 % of resamples."""
    loops: Estimate = UNKNOWN
    """Loop rate of the pair minus that of its singles."""
    coherent: float = math.nan
    """Least share of coherent rollouts in the pair's cells."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """Mean rates of some cells on the data (row 0) and on every resample of the prompts that have all of them."""

    rates: FloatArray
    """(1 + draws, c) float64."""
    sentences: FloatArray
    """(c,) float64. Sentences behind each."""
    n: int
    """Prompts."""

    def counts(self, columns: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Backtracks and sentences as if prompts had been equally long."""
        n = np.broadcast_to(self.sentences[list(columns)], (len(self.rates), len(columns)))
        return self.rates[:, list(columns)] * n, n

    def logit(self, column: int) -> FloatArray:
        """(1 + draws,) log-odds of one cell."""
        y, n = self.counts([column])
        return smooth_logit(y, n)[:, 0]


def resample(values: FloatArray, n: FloatArray, weights: FloatArray) -> Resampled:
    """Weighted means over the prompts that have every cell.

    Args:
        values: (m, c) float. One value per prompt and cell.
        n: (m, c) float. Sentences; a prompt with a 0 is left out.
        weights: (draws, m) float. Bootstrap weights of prompts.
    """
    there = np.asarray((n > 0).all(axis=1))
    all_weights = np.vstack([np.ones((1, len(n))), weights]) * there
    total = all_weights.sum(axis=1, keepdims=True)
    rates = np.divide(
        all_weights @ np.where(there[:, None], values, 0.0),
        total,
        where=total > 0,
        out=np.full((len(all_weights), n.shape[1]), np.nan),
    )
    return Resampled(rates, n[there].sum(axis=0), int(there.sum()))


def pair_axes(
    tally: Tally, layout: Layout, pair: tuple[int, int], weights: FloatArray, rules: CombinationRules, others_off: bool
) -> PairAxes:
    """Everything on one pair that is resampled.

    Args:
        tally: Counts.
        layout: Its parts.
        pair: Two directions.
        weights: (draws, m) float. Bootstrap weights of prompts, the same for all pairs.
        rules: Levels of the intervals.
        others_off: Read scales with the other directions off only, instead of in each of their states.
    """
    squares = layout.squares(*pair)
    squares = squares[:1] if others_off else squares
    found = _ladder_axis(tally, layout, pair, weights, rules)
    if not squares:
        return found
    cells = [cell for square in squares for cell in square]
    n = tally.n[:, cells]
    hazard = resample(-np.log((n - tally.y[:, cells] + 0.5) / (n + 0.5)), n, weights)
    h0, ha, hb, hab = (hazard.rates[:, k::4].mean(axis=1) for k in range(4))
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.log(hab) - np.log(ha + hb - h0)
    share = resample(tally.y[:, cells] / np.maximum(n, 1), n, weights)
    s0, sa, sb, sab = (share.rates[:, k::4].mean(axis=1) for k in range(4))
    return replace(
        found,
        hazard=_estimate(residual, hazard.n, 0.95, "log hazard ratio"),
        hazard_90=_estimate(residual, hazard.n, 0.90, "log hazard ratio"),
        hazard_wide=_estimate(residual, hazard.n, _strict(rules, layout), "log hazard ratio"),
        share=_estimate(sab - sa - sb + s0, share.n, 0.95, "share of sentences"),
        loops=_loops(tally, cells, weights),
        coherent=_coherent(tally, cells),
    )


def _ladder_axis(
    tally: Tally, layout: Layout, pair: tuple[int, int], weights: FloatArray, rules: CombinationRules
) -> PairAxes:
    i, j = pair
    both, first, second = layout.cell(i, j), layout.ladders[i], layout.ladders[j]
    if both is None or first is None or second is None:
        return PairAxes()
    cells = [both, *first.cells, *second.cells]
    if not tally.y[:, cells].any():  # half a count in every cell would make a curve of nothing
        return PairAxes()
    n = tally.n[:, cells]
    drawn = resample(tally.y[:, cells] / np.maximum(n, 1), n, weights)
    r = len(first.cells)
    level = drawn.logit(0)
    singles = (drawn.logit(2) - drawn.logit(1), drawn.logit(r + 2) - drawn.logit(r + 1))
    lifts = (_estimate(singles[0], drawn.n, 0.95, "log-odds"), _estimate(singles[1], drawn.n, 0.95, "log-odds"))
    over_best = _estimate(level - np.maximum(drawn.logit(2), drawn.logit(r + 2)), drawn.n, 0.95, "log-odds")
    if first.twice < 0 or second.twice < 0:
        return PairAxes(lifts=lifts, over_best=over_best)
    a, b = monotone(*drawn.counts(range(1, r + 1))), monotone(*drawn.counts(range(r + 1, len(cells))))
    exponents = pair_exponent(level, a, b, first.rungs, second.rungs)
    sham = np.maximum(drawn.logit(1 + first.twice), drawn.logit(1 + r + second.twice))
    flat = [(i, is_flat(a, first, rules.flat_errors)), (j, is_flat(b, second, rules.flat_errors))]
    return PairAxes(
        exponent=_bounded(exponents, drawn.n, 0.95),
        exponent_wide=_bounded(exponents, drawn.n, _strict(rules, layout)),
        multiples=(
            _middle(multiple(level[:1], a[:1], first.rungs)),
            _middle(multiple(level[:1], b[:1], second.rungs)),
        ),
        lifts=lifts,
        over_best=over_best,
        over_sham=_estimate(level - sham, drawn.n, 0.95, "log-odds"),
        flat=tuple(tally.directions[d] for d, yes in flat if yes),
        beyond=bool(np.quantile((level - np.maximum(a[:, -1], b[:, -1]))[1:], 0.025) > 0),
    )


def _strict(rules: CombinationRules, layout: Layout) -> float:
    """Level at which a null is rejected that is tested for every pair."""
    return 1 - min(rules.check_alpha, rules.alpha / len(layout.pairs))


def is_flat(curve: FloatArray, ladder: Ladder, errors: float) -> bool:
    """Whether twice the own dose does not do more than the own dose by so many standard errors."""
    rise = curve[:, ladder.twice] - curve[:, 1]
    return bool(not rise[0] > errors * np.std(rise[1:]))


def _bounded(values: Bounds, n: int, level: float) -> Estimate:
    """An interval from the lower bounds of resamples to their upper bounds; `inf` above the top of the ladders."""
    low = np.quantile(values.low[1:], (1 - level) / 2, method="inverted_cdf")
    high = np.quantile(values.high[1:], (1 + level) / 2, method="inverted_cdf")
    middle = _middle(Bounds(values.low[:1], values.high[:1]))
    if n < 2 or math.isnan(low) or math.isnan(high):
        return Estimate(middle, math.nan, math.nan, n, "cluster bootstrap", "1/p", level)
    return Estimate(middle, float(low), float(high), n, "cluster bootstrap", "1/p", level)


def _middle(bounds: Bounds) -> float:
    low, high = float(bounds.low[0]), float(bounds.high[0])
    return low if math.isinf(high) or math.isinf(low) else (low + high) / 2


def _estimate(values: FloatArray, n: int, level: float, scale: str) -> Estimate:
    return percentile_estimate(float(values[0]), values[1:], n, level, scale=scale)


def _loops(tally: Tally, cells: list[int], weights: FloatArray) -> Estimate:
    if tally.loops is None:
        return UNKNOWN
    n = tally.rollouts[:, cells]
    drawn = resample(tally.loops[:, cells] / np.maximum(n, 1), n, weights)
    _, a, b, both = (drawn.rates[:, k::4].mean(axis=1) for k in range(4))
    difference = both - np.maximum(a, b)
    if np.ptp(difference) == 0:  # nothing loops anywhere
        return Estimate(float(difference[0]), float(difference[0]), float(difference[0]), drawn.n, "count", "loop rate")
    return _estimate(difference, drawn.n, 0.90, "loop rate")


def _coherent(tally: Tally, cells: list[int]) -> float:
    if tally.incoherent is None:
        return math.nan
    total = tally.rollouts[:, cells].sum(axis=0)
    return float(1 - (tally.incoherent[:, cells].sum(axis=0) / np.maximum(total, 1)).max())
