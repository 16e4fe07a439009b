"""Folds that keep groups whole, and the training sets of a nested cross-validation over them.

With k folds there is one training set without fold f for every f, one without f and g for every pair, and one of all
rows. The pairs do double duty: the probe without f and g tunes the outer fold f on g, and the outer fold g on f.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from multidir.errors import DesignError
from multidir.types import BoolArray, IntArray

FEWEST = 3
"""Folds below which nothing is left to tune on."""


@dataclass(frozen=True, eq=False)
class Folds:
    """The fold of every row; every fold has both classes."""

    fold: IntArray
    """(n,) from 0 to k-1."""
    k: int
    remarks: tuple[str, ...] = ()
    """Folds that had to be merged."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of folds, in the order of their training sets."""
        return list(combinations(range(self.k), 2))

    @property
    def n_sets(self) -> int:
        """Training sets: k without one fold, k (k - 1) / 2 without two, and one of all rows, which is the last."""
        return self.k + len(self.pairs) + 1

    def training_sets(self) -> BoolArray:
        """(n, s) bool."""
        without = [self.fold != f for f in range(self.k)]
        both = [without[f] & without[g] for f, g in self.pairs]
        return np.stack([*without, *both, np.ones(len(self.fold), bool)], axis=1)

    def inner(self, f: int) -> list[tuple[int, int]]:
        """(training set, held-out fold) of the inner cross-validation of outer fold f."""
        return [(self.k + i, pair[pair[0] == f]) for i, pair in enumerate(self.pairs) if f in pair]


def grouped_folds(positive: BoolArray, group: IntArray, k: int, rng: np.random.Generator) -> Folds:
    """Folds of whole groups, with positives spread as evenly as the groups allow.

    Groups are dealt out, those with most positives first, to the fold that has fewest. A fold without one of the
    classes is merged into the one with fewest rows.

    Args:
        positive: (n,) bool.
        group: (n,) int.
        k: folds wanted.
        rng: order among equal groups.
    Raises:
        DesignError: fewer than three folds with both classes can be made.
    """
    names, place = np.unique(group, return_inverse=True)
    ones, rows = np.bincount(place, weights=positive).astype(int), np.bincount(place)
    order = rng.permutation(len(names))
    order = order[np.lexsort((-rows[order], -ones[order]))]
    of_group, has_ones, has_rows = np.zeros(len(names), np.int64), np.zeros(k, int), np.zeros(k, int)
    for g in order:
        least = np.lexsort((has_rows, has_ones))[0] if ones[g] else int(np.argmin(has_rows))
        of_group[g] = least
        has_ones[least] += ones[g]
        has_rows[least] += rows[g]
    return merged(of_group[place], positive)


def random_folds(positive: BoolArray, k: int, rng: np.random.Generator) -> Folds:
    """Folds of single rows, which split groups: what a probe seems to know when its own prompts leak into the test."""
    return grouped_folds(positive, np.arange(len(positive)), k, rng)


def merged(fold: IntArray, positive: BoolArray) -> Folds:
    """Folds renumbered after those with one class only were merged into the smallest others.

    Raises:
        DesignError: fewer than three are left.
    """
    said: list[str] = []
    fold = fold.copy()
    while True:
        names = np.unique(fold)
        ones = np.array([positive[fold == f].sum() for f in names])
        rows = np.array([(fold == f).sum() for f in names])
        poor = np.flatnonzero((ones == 0) | (ones == rows))
        if len(names) - len(poor) < FEWEST:
            held = ", ".join(f"fold {f}: {o} of {r} positive" for f, o, r in zip(names, ones, rows, strict=True))
            raise DesignError(
                f"nested cross-validation needs {FEWEST} folds with both classes in each, and the groups allow only "
                f"these: {held}. Use fewer folds, more prompts, or a more frequent label"
            )
        if not poor.size:
            return Folds(np.searchsorted(names, fold), len(names), tuple(said))
        one = poor[0]
        others = np.delete(np.arange(len(names)), one)
        into = others[np.argmin(rows[others])]
        kind = "positive" if ones[one] == 0 else "negative"
        said.append(f"fold {names[one]} had no {kind} sentence and was merged into fold {names[into]}")
        fold[fold == names[one]] = names[into]
