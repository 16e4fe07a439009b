"""How well a score ranks positives over negatives: AUROC, with an interval over clusters."""

from __future__ import annotations

import numpy as np
from scipy import stats

from multidir.errors import DesignError
from multidir.stats.bootstrap import weighted_bootstrap
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
) -> Estimate:
    """AUROC with an interval from resampling clusters.

    The wins of cluster a's positives over cluster b's negatives are counted once into an (m, m) matrix U; a
    resample with weights w then has  AUROC = w U w / ((w . positives) (w . negatives)).

    Args:
        scores: (n,) float, no nan.
        labels: (n,) bool.
        clusters: (n,) int. Trace or prompt of each row.
        rng: Source of the draws.
        draws: Number of resamples.
        level: Coverage wanted.
    Raises:
        DesignError: one of the classes is empty, a score is nan, or the shapes differ.
    """
    x, positive = _checked(scores, labels)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if cluster.shape != x.shape:
        raise DesignError(f"every score needs its cluster: {x.shape} scores, {cluster.shape} clusters")
    m = names.size
    wins = cluster_wins(x, positive, cluster, m)
    n_positive = np.bincount(cluster[positive], minlength=m).astype(np.float64)
    n_negative = np.bincount(cluster[~positive], minlength=m).astype(np.float64)

    def statistic(w: FloatArray) -> FloatArray:
        pairs = (w @ n_positive) * (w @ n_negative)
        shares: FloatArray = ((w @ wins) * w).sum(axis=1) / np.where(pairs > 0, pairs, np.nan)
        return shares

    return weighted_bootstrap(statistic, m, rng, draws, level, scale="AUROC")


def cluster_wins(scores: FloatArray, positive: BoolArray, cluster: IntArray, m: int) -> FloatArray:
    """(m, m) float64: pairs in which a positive of cluster a scores above a negative of cluster b, ties one half."""
    wins = np.zeros((m, m))
    mine, owner = scores[positive], cluster[positive]
    for b in range(m):
        theirs = np.sort(scores[~positive & (cluster == b)])
        won = (np.searchsorted(theirs, mine, "left") + np.searchsorted(theirs, mine, "right")) / 2
        wins[:, b] = np.bincount(owner, weights=won, minlength=m)
    return wins


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
