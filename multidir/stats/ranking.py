"""How well a score ranks positives over negatives: AUROC and average precision, with intervals over clusters."""

from __future__ import annotations

import numpy as np
from scipy import stats

from multidir.errors import DesignError
from multidir.stats.bootstrap import WeightStatistic, weighted_bootstrap
from multidir.stats.estimate import Estimate
from multidir.types import BoolArray, FloatArray, IntArray


def auroc(scores: FloatArray, labels: BoolArray) -> float:
    """Probability that a random positive scores above a random negative; ties count one half.

    Args:
        scores: (n,) float, no nan.
        labels: (n,) bool.
    Raises:
        DesignError: one of the classes is empty, a score is nan, or the shapes differ.
    """
    x, positive = _checked(scores, labels)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    rank_sum = float(stats.rankdata(x)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def auroc_estimate(
    scores: FloatArray,
    labels: BoolArray,
    clusters: IntArray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
    strata: IntArray | None = None,
) -> Estimate:
    """AUROC with an interval from resampling clusters.

    Args:
        scores: (n,) float, no nan.
        labels: (n,) bool.
        clusters: (n,) int. Trace or prompt of each row.
        rng: Source of the draws.
        draws: Number of resamples.
        level: Coverage wanted.
        strata: (n,) int, such as folds: a positive is compared with the negatives of its own stratum only.
    Raises:
        DesignError: one of the classes is empty, a score is nan, or the shapes differ.
    """
    statistic, m = weighted_auroc(scores, labels, clusters, strata)
    return weighted_bootstrap(statistic, m, rng, draws, level, scale="AUROC")


def weighted_auroc(
    scores: FloatArray, labels: BoolArray, clusters: IntArray, strata: IntArray | None = None
) -> tuple[WeightStatistic, int]:
    """AUROC as a function of the weights of m clusters, and m.

    The wins of cluster a's positives over cluster b's negatives, and the pairs of both, are counted once into two
    (m, m) matrices; a resample with weights w then has  AUROC = w U w / (w P w).

    Raises:
        DesignError: one of the classes is empty, a score is nan, or the shapes differ.
    """
    x, positive = _checked(scores, labels)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if cluster.shape != x.shape:
        raise DesignError(f"every score needs its cluster: {x.shape} scores, {cluster.shape} clusters")
    m = names.size
    wins, pairs = np.zeros((m, m)), np.zeros((m, m))
    for stratum in [np.ones(x.size, bool)] if strata is None else [strata == s for s in np.unique(strata)]:
        part, one, owner = x[stratum], positive[stratum], cluster[stratum]
        wins += cluster_wins(part, one, owner, m)
        pairs += np.outer(np.bincount(owner[one], minlength=m), np.bincount(owner[~one], minlength=m))
    if not pairs.any():
        raise DesignError("no positive shares a stratum with a negative, so that nothing can be compared")

    def statistic(w: FloatArray) -> FloatArray:
        compared = ((w @ pairs) * w).sum(axis=1)
        shares: FloatArray = ((w @ wins) * w).sum(axis=1) / np.where(compared > 0, compared, np.nan)
        return shares

    return statistic, m


def cluster_wins(scores: FloatArray, positive: BoolArray, cluster: IntArray, m: int) -> FloatArray:
    """(m, m) float64: pairs in which a positive of cluster a scores above a negative of cluster b, ties one half."""
    wins = np.zeros((m, m))
    mine, owner = scores[positive], cluster[positive]
    for b in np.unique(cluster[~positive]):
        theirs = np.sort(scores[~positive & (cluster == b)])
        won = (np.searchsorted(theirs, mine, "left") + np.searchsorted(theirs, mine, "right")) / 2
        wins[:, b] = np.bincount(owner, weights=won, minlength=m)
    return wins


def auprc_estimate(
    scores: FloatArray,
    labels: BoolArray,
    clusters: IntArray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Estimate:
    """Average precision (area under the precision-recall curve) with an interval from resampling clusters.

        AP = mean over positives of the share of positives among all rows that score at least as high

    Chance is the base rate, so it is to be read beside it.

    Args:
        As of `auroc_estimate`.
    Raises:
        DesignError: one of the classes is empty, a score is nan, or the shapes differ.
    """
    x, positive = _checked(scores, labels)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    order = np.argsort(-x, kind="stable")
    one, owner = positive[order].astype(np.float64), cluster[order]
    # rows with equal scores share the counts at the end of their run
    ends = np.searchsorted(-x[order], -x[order], side="right") - 1

    def statistic(w: FloatArray) -> FloatArray:
        return np.array([_average_precision(row[owner], one, ends) for row in w])

    return weighted_bootstrap(statistic, names.size, rng, draws, level, scale="average precision")


def _average_precision(weight: FloatArray, one: FloatArray, ends: IntArray) -> float:
    found = weight * one
    above, hits = np.cumsum(weight)[ends], np.cumsum(found)[ends]
    total = found.sum()
    return float((found * hits / np.where(above > 0, above, 1)).sum() / total) if total > 0 else np.nan


def _checked(scores: FloatArray, labels: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Scores as float64 and labels as bool, or a complaint."""
    x, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    if x.shape != positive.shape or x.ndim != 1:
        raise DesignError(f"AUROC needs one score and one label per row, got shapes {x.shape} and {positive.shape}")
    if np.isnan(x).any():
        raise DesignError(f"{int(np.isnan(x).sum())} of {x.size} scores are nan; leave unscored rows out")
    if not positive.any() or positive.all():
        raise DesignError(f"AUROC needs both classes, got {int(positive.sum())} positive of {x.size} rows")
    return x, positive
