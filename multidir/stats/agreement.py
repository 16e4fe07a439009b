"""How far two annotators agree: confusion table, Cohen's kappa, precision, recall and F1, by cluster."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from multidir.errors import DesignError
from multidir.stats.bootstrap import WeightStatistic, weighted_bootstrap
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray, IntArray


class Scores(NamedTuple):
    """Precision, recall and F1, each between 0 and 1, or nan where it is not defined."""

    precision: float
    recall: float
    f1: float


def scores(tp: int, fp: int, fn: int) -> Scores:
    """Scores of a yes/no annotator against a reference, from counts.

    Args:
        tp: Both say yes.
        fp: Only the annotator says yes.
        fn: Only the reference says yes.
    """
    return Scores(_share(tp, tp + fp), _share(tp, tp + fn), _share(2 * tp, 2 * tp + fp + fn))


def confusion(reference: Sequence[str], other: Sequence[str], labels: Sequence[str]) -> IntArray:
    """(g, g) int64: how often the reference says row and the other says column.

    Raises:
        DesignError: lengths differ, or a label is none of `labels` (leave sentences that one of the two did not
            label out, and report how many they are).
    """
    if len(reference) != len(other):
        raise DesignError(f"agreement needs the same sentences twice, got {len(reference)} and {len(other)} labels")
    place = {label: i for i, label in enumerate(labels)}
    strange = {str(label) for label in (*reference, *other) if label not in place}
    if strange:
        raise DesignError(f"labels outside the taxonomy: {', '.join(sorted(strange))}; map them or leave them out")
    table = np.zeros((len(place), len(place)), dtype=np.int64)
    np.add.at(table, ([place[a] for a in reference], [place[b] for b in other]), 1)
    return table


def kappa(table: IntArray) -> float:
    """Cohen's kappa of a confusion table: agreement beyond what the two label frequencies give by chance.

    Args:
        table: (g, g) int.
    Returns:
        At most 1; nan without sentences or when both use one and the same label throughout.
    Source: J. Cohen, Educ. Psychol. Meas. 20 (1960).
    """
    return float(_kappas(np.asarray(table, dtype=np.float64)[None])[0])


def score_estimates(
    reference: Sequence[str],
    other: Sequence[str],
    positive: str,
    clusters: IntArray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Precision, recall and F1 for one label, with intervals over clusters.

    Args:
        reference: Label per sentence by the annotator taken as truth.
        other: Label per sentence by the one that is judged.
        positive: The label in question.
        clusters: (n,) int. Trace or prompt of each sentence.
        rng: Source of the draws.
        draws: Number of resamples.
        level: Coverage wanted.
    Returns:
        `precision`, `recall` and `f1`.
    Raises:
        DesignError: lengths differ.
    """
    if not len(reference) == len(other) == len(clusters):
        raise DesignError(f"lengths differ: {len(reference)} and {len(other)} labels, {len(clusters)} clusters")
    truth = np.array([label == positive for label in reference], dtype=bool)
    said = np.array([label == positive for label in other], dtype=bool)
    both, claimed, real = (_per_cluster(mask, clusters) for mask in (truth & said, said, truth))
    parts = {"precision": (both, claimed), "recall": (both, real), "f1": (2 * both, claimed + real)}

    def share_of(a: FloatArray, b: FloatArray) -> WeightStatistic:
        return lambda w: _ratio(w @ a, w @ b)

    return {
        name: weighted_bootstrap(share_of(a, b), both.size, rng, draws, level, name) for name, (a, b) in parts.items()
    }


def kappa_estimate(
    reference: Sequence[str],
    other: Sequence[str],
    labels: Sequence[str],
    clusters: IntArray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Estimate:
    """Cohen's kappa with an interval over clusters; arguments as in `confusion` and `score_estimates`."""
    _, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    first, second = np.asarray(reference, dtype=object), np.asarray(other, dtype=object)
    m = int(inverse.max()) + 1 if inverse.size else 0
    tables = np.stack([confusion(list(first[inverse == i]), list(second[inverse == i]), labels) for i in range(m)])
    flat = tables.reshape(m, -1).astype(np.float64)
    g = len(labels)
    return weighted_bootstrap(lambda w: _kappas((w @ flat).reshape(-1, g, g)), m, rng, draws, level, "kappa")


def _kappas(tables: FloatArray) -> FloatArray:
    """(w,) kappas of (w, g, g) tables."""
    n = tables.sum(axis=(1, 2))
    agreed = _ratio(np.trace(tables, axis1=1, axis2=2), n)
    chance = _ratio((tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1), n * n)
    return _ratio(agreed - chance, 1 - chance)


def _per_cluster(mask: np.ndarray, clusters: IntArray) -> FloatArray:
    """(m,) how many sentences of each cluster are in the mask."""
    names, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    sums: FloatArray = np.bincount(inverse, weights=mask, minlength=names.size).astype(np.float64)
    return sums


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """Quotient with nan where the denominator is zero."""
    return a / np.where(b != 0, b, np.nan)


def _share(a: int, b: int) -> float:
    """Quotient with nan for a zero denominator."""
    return a / b if b else math.nan
