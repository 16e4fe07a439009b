"""Differences of class means from per-trace sums: every mean rule, every reference set, every resample.

Sums of rows per (trace, label) are all that a difference of means needs. They are small, mergeable and
enough for a bootstrap over traces, so rows are read once.
"""

from __future__ import annotations

from typing import Literal

from array_api_compat import device

from multidir.errors import DesignError
from multidir.linalg.namespace import Array, as_float64, namespace

MeanRule = Literal["token", "trace"]
"""`token`: every row weighs the same. `trace`: every trace weighs the same (mean of per-trace means)."""

Reference = Literal["all", "rest"]
"""`all`: every labelled row, positives included (D). `rest`: every labelled row but the positives (D-)."""


def contrast(
    sums: Array, counts: Array, label_index: int, mean: MeanRule = "token", reference: Reference = "all"
) -> Array:
    """Difference of class means from per-trace sums, in residual-stream units.

        v = MeanAct(D+) - MeanAct(D)        reference "all": D holds the positives too
        v = MeanAct(D+) - MeanAct(D-)       reference "rest"

    With the mean rule "token" the two differ by a factor: v_D = (1 - a) v_D-, a the share of positive rows,
    and the count-weighted sum of all label vectors is zero, so that g labels span at most g - 1 dimensions.
    Neither holds for "trace", where traces without a row of a set are left out of that set's mean.

    Args:
        sums: (t, g, d) float. Sum of the rows of trace i with label j.
        counts: (t, g) int. How many rows that were.
        label_index: The positive label, in 0..g-1.
        mean: Mean rule.
        reference: Reference set.
    Returns:
        (d,) float64.
    Raises:
        DesignError: no positive row, no reference row, or shapes that do not fit.
    Source: arXiv 2507.12638, Eq. 3 (mean "trace", reference "all"; its code pools tokens).
    """
    xp = namespace(sums)
    weights = xp.ones((1, sums.shape[0]), dtype=xp.float64, device=device(sums))
    return contrasts(sums, counts, label_index, weights, mean, reference)[0]


def contrasts(
    sums: Array,
    counts: Array,
    label_index: int,
    weights: Array,
    mean: MeanRule = "token",
    reference: Reference = "all",
) -> Array:
    """`contrast` for many weightings of the traces at once: two matrix products.

    Args:
        sums: (t, g, d) float.
        counts: (t, g) int.
        label_index: The positive label.
        weights: (w, t) float. How often each trace counts in each draw, as `stats.bootstrap.draw_weights` makes it.
        mean: Mean rule.
        reference: Reference set.
    Returns:
        (w, d) float64; nan in the rows of draws that contain no positive or no reference row.
    Raises:
        DesignError: no positive or no reference row in any trace, or shapes that do not fit.
    """
    _check(sums, counts, label_index, weights)
    xp = namespace(sums)
    total, n_total = xp.sum(as_float64(sums), axis=1), xp.sum(as_float64(counts), axis=1)
    positive, n_positive = as_float64(sums[:, label_index]), as_float64(counts[:, label_index])
    if reference == "rest":
        total, n_total = total - positive, n_total - n_positive
    if not float(xp.sum(n_positive)) or not float(xp.sum(n_total)):
        raise DesignError(
            f"label {label_index} has {int(xp.sum(n_positive))} rows against {int(xp.sum(n_total))} reference rows in "
            f"{counts.shape[0]} traces; a difference of means needs both: choose another label, offsets or more traces"
        )
    return _mean(positive, n_positive, weights, mean) - _mean(total, n_total, weights, mean)


def _mean(sums: Array, counts: Array, weights: Array, rule: MeanRule) -> Array:
    """(w, d) weighted mean of (t, d) sums over (t,) counts; nan where no trace of the draw has a row."""
    xp = namespace(sums)
    if rule == "trace":
        present = as_float64(counts > 0)
        sums, counts = sums / xp.where(counts > 0, counts, xp.ones_like(counts))[:, None], present
    n = weights @ counts
    return (weights @ sums) / xp.where(n > 0, n, xp.nan * xp.ones_like(n))[:, None]


def _check(sums: Array, counts: Array, label_index: int, weights: Array) -> None:
    """Refuse shapes that do not fit and a label that is not there."""
    shapes = f"sums {tuple(sums.shape)}, counts {tuple(counts.shape)}, weights {tuple(weights.shape)}"
    if sums.ndim != 3 or tuple(sums.shape[:2]) != tuple(counts.shape) or weights.shape[-1] != sums.shape[0]:
        raise DesignError(f"contrast needs sums (t, g, d), counts (t, g) and weights (w, t); got {shapes}")
    if not 0 <= label_index < sums.shape[1]:
        raise DesignError(f"label index {label_index} is outside the {sums.shape[1]} labels of the sums ({shapes})")
