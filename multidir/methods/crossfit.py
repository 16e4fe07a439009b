"""A direction for every fold of traces, found in the other folds, because each separates its own data too well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multidir.errors import DesignError
from multidir.linalg.contrast import MeanRule, Reference
from multidir.methods.diffmeans import TraceSums
from multidir.methods.reliability import Case
from multidir.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Crossfit:
    """Unit directions and centres by fold."""

    fold: IntArray
    """(t,) fold of each trace of the store."""
    units: FloatArray
    """(f, d) float64: the direction of the other folds' traces, at length 1."""
    centres: FloatArray
    """(f, d) float64: mean over all windows of the other folds' traces, so that folds compare."""

    def project(self, x: FloatArray, trace: IntArray) -> FloatArray:
        """(n,) float64 projection of rows of given traces, each on the direction that has not seen its trace.

        Args:
            x: (n, d) float.
            trace: (n,) int. Place of the row's trace in the store.
        """
        fold = self.fold[trace]
        found = np.empty(len(x))
        for f in np.unique(fold):
            mine = fold == f
            found[mine] = (x[mine].astype(np.float64) - self.centres[f]) @ self.units[f]
        return found


def crossfit(
    sums: TraceSums,
    label: str,
    folds: int,
    rng: np.random.Generator,
    mean: MeanRule = "token",
    reference: Reference = "all",
) -> Crossfit:
    """Split the traces into folds at random and find a direction for each from the others.

    Args:
        sums: window sums of one model.
        label: the positive class.
        folds: how many parts.
        rng: source of the split.
        mean: mean rule.
        reference: reference set.
    Raises:
        DesignError: fewer traces than folds, the label has no rows, or a fold leaves none to the others.
    """
    t = len(sums.counts)
    filled = np.flatnonzero(sums.counts.sum(axis=1) > 0)
    if len(filled) < folds:
        raise DesignError(f"{folds} folds need as many traces, and there are {len(filled)} with a labelled sentence")
    fold = rng.integers(0, folds, t)
    for number, part in enumerate(np.array_split(rng.permutation(filled), folds)):
        fold[part] = number
    others = (np.arange(folds)[:, None] != fold[None, :]).astype(np.float64)
    vectors = Case(sums, label).vectors(others, mean, reference)
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.all(lengths > 0):
        raise DesignError(f"a fold leaves no {label!r} sentence to make a direction from; use fewer folds")
    total, rows = sums.sums.sum(axis=1), sums.counts.sum(axis=1)
    return Crossfit(fold, vectors / lengths[:, None], (others @ total) / (others @ rows)[:, None])
