"""Held-out predictions as numbers with intervals: AUROC, average precision, calibrated log score, and the base rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multidir.methods.probe_folds import Folds
from multidir.methods.probe_nested import HeldOut
from multidir.methods.probe_rows import ProbeRows
from multidir.stats.bootstrap import both_roles, weighted_bootstrap
from multidir.stats.estimate import Estimate
from multidir.stats.ranking import auprc_estimate, auroc_estimate, weighted_auroc
from multidir.types import BoolArray, FloatArray, IntArray

Columns = dict[str, float | int | str]

Scored = tuple[FloatArray, BoolArray, IntArray | None]
"""Scores, labels, and the strata within which they compare."""


def measured(held: HeldOut, rows: ProbeRows, folds: Folds, draws: int, seed: int) -> Columns:
    """All measures of one probe, by resampling prompts.

    AUROC compares within folds, where scores come from one probe; average precision and log score use calibrated
    log-odds. The log score is in bits per sentence above the share of positives of the training folds. Intervals allow
    for prompts that train as well as test.
    """
    y, group = rows.positive, rows.group
    found = auroc_estimate(held.score, y, group, np.random.default_rng(seed), draws, strata=folds.fold)
    precision = auprc_estimate(held.log_odds, y, group, np.random.default_rng(seed), draws)
    gain = log_score(held, y, group, draws, seed)
    return {
        **interval("auroc", both_roles(found, 0, 1)),
        **interval("auprc", both_roles(precision, 0, 1)),
        **interval("bits", both_roles(gain)),
        **counts(rows, found),
    }


def ranked(scores: FloatArray, rows: ProbeRows, fold: IntArray | None, draws: int, seed: int) -> Columns:
    """AUROC alone, for scores that were not learned from these sentences."""
    found = auroc_estimate(scores, rows.positive, rows.group, np.random.default_rng(seed), draws, strata=fold)
    return {**interval("auroc", found), **counts(rows, found)}


def log_score(held: HeldOut, positive: BoolArray, group: IntArray, draws: int, seed: int) -> Estimate:
    """Mean of log2 q(label) - log2 base(label), in bits per sentence; above 0 the probe knows something."""
    sign = np.where(positive, 1.0, -1.0)
    told = -np.logaddexp(0, -sign * held.log_odds)
    blind = np.log(np.where(positive, held.base, 1 - held.base))
    names, cluster = np.unique(group, return_inverse=True)
    bits = np.bincount(cluster, weights=(told - blind) / np.log(2))
    rows = np.bincount(cluster).astype(np.float64)

    def statistic(w: FloatArray) -> FloatArray:
        gain: FloatArray = (w @ bits) / (w @ rows)
        return gain

    return weighted_bootstrap(statistic, names.size, np.random.default_rng(seed), draws, scale="bits per sentence")


def auroc_gap(
    first: Sequence[Scored],
    second: Sequence[Scored],
    group: IntArray,
    draws: int,
    seed: int,
) -> Estimate:
    """Mean AUROC of some cross-validated scores minus that of others, on the same resamples of prompts.

    Args:
        first: scores of the same rows.
        second: those that are taken off; none for the mean of the first itself.
        group: (n,) prompt of every row.
    """
    statistics = [[weighted_auroc(x, y, group, s)[0] for x, y, s in side] for side in (first, second)]
    m = np.unique(group).size

    def statistic(w: FloatArray) -> FloatArray:
        means = [np.mean([one(w) for one in side], axis=0) if side else np.zeros(len(w)) for side in statistics]
        gap: FloatArray = means[0] - means[1]
        return gap

    return both_roles(weighted_bootstrap(statistic, m, np.random.default_rng(seed), draws, scale="AUROC"))


def interval(name: str, found: Estimate) -> Columns:
    """An estimate as three columns."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def counts(rows: ProbeRows, found: Estimate) -> Columns:
    """What the numbers rest on, and the base rate that they are read against."""
    ones = int(rows.positive.sum())
    return {"base_rate": ones / len(rows), "n_positive": ones, "n_sentences": len(rows), "n_prompts": found.n}
