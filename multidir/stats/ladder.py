"""Dose ladders: which dose of one direction is a pair equivalent to?

A single direction is run at 0, a, sqrt2 a, 2a and 2 sqrt2 a. Its dose curve f is made monotone (pooled adjacent
violators on the counts) and interpolated on the logit scale, by monotone cubics in log dose from a on and by a straight
line in dose below it. The pair
(a, b) then equals the multiple s = f^-1(pair) of each direction's own dose, and the **combination exponent** 1/p
solves

    s_a^-p + s_b^-p = 1,         for equal curves   s = 2^(1/p)

1/p = 1 dose-additive (Loewe: both doses feed one read-out), 1/2 only the norm counts, 0 no more than the better
one alone, above 1 more than any sharing of doses can give; below 0, log2 of the smaller multiple: less than one
direction alone. The equation holds exactly for any pair of monotone curves of one read-out, so neither equal
curves nor equally calibrated doses are needed. A pair above the top rung only has a lower bound.

Source: S. Loewe, Arzneim.-Forsch. 3 (1953); the exponent generalises the isobole as in L^p norms of doses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logit

from multidir.types import FloatArray

HALVINGS = 24
"""A place between two rungs is found to one part in 2^24."""


class Bounds(NamedTuple):
    """Smallest and largest value that the data allow: they differ on a flat stretch and beyond the top rung."""

    low: FloatArray
    high: FloatArray


def smooth_logit(y: FloatArray, n: FloatArray) -> FloatArray:
    """Log-odds of counts, half a count added to both sides so that none is infinite."""
    found: FloatArray = logit((y + 0.5) / (n + 1.0))
    return found


def monotone(y: FloatArray, n: FloatArray) -> FloatArray:
    """Log-odds along a ladder, pooled where they would fall: the monotone maximum-likelihood curve.

        max over i <= j of  min over k >= j of  rate of rungs i..k together

    Args:
        y: (w, r) float. Backtracks by rung, lowest dose first; w resamples.
        n: (w, r) float. Sentences.
    Returns:
        (w, r) float64, never falling along a row.
    Source: M. Ayer et al., Ann. Math. Statist. 26 (1955).
    """
    r = y.shape[1]
    hits, trials = ([np.zeros(len(y)), *np.cumsum(counts.T, axis=0)] for counts in (y, n))
    rate = np.zeros((r, len(y)))
    for i in range(r):
        least = np.full(len(y), np.inf)
        for k in reversed(range(i, r)):
            # half a count is added to both sides, as in `smooth_logit`
            least = np.minimum(least, (hits[k + 1] - hits[i] + 0.5) / (trials[k + 1] - trials[i] + 1.0))
            rate[k] = np.maximum(rate[k], least)
    return np.asarray(np.maximum.accumulate(logit(rate), axis=0).T)


def multiple(level: FloatArray, curve: FloatArray, rungs: FloatArray) -> Bounds:
    """The multiple of a direction's own dose at which its curve reaches a level.

    Args:
        level: (w,) float. Log-odds to reach.
        curve: (w, r) float. Monotone log-odds at the rungs.
        rungs: (r,) float. Multiples: 0, 1, then upwards.
    Returns:
        (w,) smallest and largest such multiple. Below the curve both are 0; above it, the top rung and infinity.
    """
    return Bounds(*(_invert(level, curve, np.asarray(rungs, dtype=np.float64), last) for last in (False, True)))


def _invert(level: FloatArray, curve: FloatArray, rungs: FloatArray, last: bool) -> FloatArray:
    """The first multiple that reaches the level, or the last one that does not exceed it."""
    reached = curve <= level[:, None] if last else curve < level[:, None]
    right = reached.sum(axis=1)
    inside = np.clip(right, 1, curve.shape[1] - 1)
    rows = np.arange(len(level))
    f0, f1 = curve[rows, inside - 1], curve[rows, inside]
    gap = f1 - f0
    straight = np.clip(np.divide(level - f0, gap, out=np.full_like(gap, 1.0), where=gap > 0), 0.0, 1.0)
    octaves = np.log2(rungs[1:])
    width = np.diff(octaves, prepend=-1.0)[inside - 1]
    slopes = _slopes(curve, octaves)
    share = _cubic_share(level, f0, f1, width * slopes[rows, inside - 2], width * slopes[rows, inside - 1], straight)
    found = np.where(inside == 1, straight * rungs[1], rungs[inside - 1] * 2.0 ** (width * share))
    found = np.where(right == 0, 0.0, found)
    return np.where(right == curve.shape[1], np.inf if last else rungs[-1], found)


def _slopes(curve: FloatArray, octaves: FloatArray) -> FloatArray:
    """(w, r - 1) slopes per octave at the rungs from the own dose on: harmonic means, so that no cubic overshoots.

    Source: F. N. Fritsch and J. Butland, SIAM J. Sci. Stat. Comput. 5 (1984).
    """
    # below the own dose the curve is straight in dose; its slope per octave there is (f1 - f0) ln 2
    chords = np.column_stack([(curve[:, 1] - curve[:, 0]) * np.log(2.0), np.diff(curve[:, 1:]) / np.diff(octaves)])
    before, after = chords[:, :-1], chords[:, 1:]
    total = before + after
    inner = np.divide(2 * before * after, total, out=np.zeros_like(total), where=total > 0)
    return np.column_stack([inner, chords[:, -1]])


def _cubic_share(
    level: FloatArray, f0: FloatArray, f1: FloatArray, d0: FloatArray, d1: FloatArray, start: FloatArray
) -> FloatArray:
    """Where in 0..1 a rising cubic from f0 to f1 with end slopes d0 and d1 reaches a level, by halving."""
    rise = f1 - f0
    second, third = 3 * rise - 2 * d0 - d1, d0 + d1 - 2 * rise
    t = np.full_like(level, 0.5)
    for halving in range(2, HALVINGS + 1):
        t += np.copysign(0.5**halving, level - f0 - ((third * t + second) * t + d0) * t)
    return np.where(rise > 0, t, start)


def exponent(a: FloatArray, b: FloatArray) -> FloatArray:
    """1/p of a pair that equals the multiple a of one direction's dose and b of the other's.

    Args:
        a: (w,) float, 0 or more; may be infinite.
        b: (w,) float, likewise.
    Returns:
        (w,) float64; -inf when a multiple is 0, inf when either has no upper bound and neither is below 1.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        u, v = np.log(a), np.log(b)
        least, most = np.minimum(u, v), np.maximum(u, v)
        # g(p) = exp(-p u) + exp(-p v) - 1 falls and is convex: Newton from the left never overshoots
        p = np.log(2.0) / most
        for _ in range(60):
            eu, ev = np.exp(-p * u), np.exp(-p * v)
            step = (eu + ev - 1) / (u * eu + v * ev)
            p = p + step
            if not (np.abs(step) > 1e-12 * np.abs(p)).any():
                break
        return np.where(least <= 0, least / np.log(2.0), np.where(np.isinf(most), np.inf, 1 / p))


def pair_exponent(pair: FloatArray, a: FloatArray, b: FloatArray, rungs_a: FloatArray, rungs_b: FloatArray) -> Bounds:
    """1/p for each resample, from the pair's log-odds and the two monotone curves.

    Args:
        pair: (w,) float. Log-odds of the pair.
        a: (w, r) float. Curve of the first direction, from `monotone`.
        b: (w, s) float. Curve of the second.
        rungs_a: (r,) float. Multiples of the first direction's dose in the pair: 0, 1, upwards.
        rungs_b: (s,) float. Likewise.
    """
    first, second = multiple(pair, a, rungs_a), multiple(pair, b, rungs_b)
    high_a, high_b = first.high, second.high
    only_a, only_b = np.isinf(high_a) & np.isfinite(high_b), np.isinf(high_b) & np.isfinite(high_a)
    high_a = np.where(only_a, _beyond(pair, a, rungs_a), high_a)
    high_b = np.where(only_b, _beyond(pair, b, rungs_b), high_b)
    return Bounds(exponent(first.low, second.low), exponent(high_a, high_b))


def _beyond(level: FloatArray, curve: FloatArray, rungs: FloatArray) -> FloatArray:
    """The multiple at which the last stretch of a curve, drawn on by its own length at most, reaches a level."""
    gap = curve[:, -1] - curve[:, -2]
    share = np.divide(level - curve[:, -1], gap, out=np.full_like(gap, np.inf), where=gap > 0)
    return np.where(share <= 1, rungs[-1] * (rungs[-1] / rungs[-2]) ** np.minimum(share, 1), np.inf)
