"""Factorial designs of on/off directions, and the columns of the models that they can estimate.

Up to five directions every combination is run. From six to ten a fraction of resolution V: main effects and
pairs are then aliased with nothing of order two or less. The fractions are written as explicit generators and
every design's rank is checked, because a design can be of a lower resolution than its name says.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from multidir.errors import DesignError
from multidir.types import FloatArray, IntArray

Term = tuple[int, ...]
"""Directions that a column is about: (0,) a main effect, (0, 2) a pair."""

MAX_FULL = 5
GENERATORS: dict[int, tuple[str, ...]] = {
    6: ("abcde",),
    7: ("abcdef",),
    8: ("abcd", "abef"),
    9: ("abcg", "bcde"),
    10: ("abcg", "bcde", "acdf"),
}
"""Number of directions -> which of the first ones are added modulo two for each further one.

The sum modulo two keeps the cell with everything off in the design. Source: NIST/SEMATECH e-Handbook of
Statistical Methods, 5.3.3.4.7; tests check the resolution of each.
"""


def design(k: int) -> IntArray:
    """The on/off cells for k directions: (c, k) of 0 and 1, everything off first.

    Raises:
        DesignError: fewer than two or more than ten directions.
    """
    if not 2 <= k <= max(GENERATORS):
        raise DesignError(
            f"a factorial is for 2 to {max(GENERATORS)} directions, got {k}; screen pairs first and keep the strongest"
        )
    words = GENERATORS.get(k, ())
    free = k - len(words)
    base = np.array(list(product((0, 1), repeat=free)), dtype=np.int64)
    added = [base[:, ["abcdefghij".index(letter) for letter in word]].sum(axis=1) % 2 for word in words]
    cells = np.column_stack([base, *added])
    check_rank(cells, terms(k, 2))
    return cells


def terms(k: int, order: int) -> list[Term]:
    """All sets of up to `order` of k directions, small ones first."""
    return [term for size in range(1, order + 1) for term in combinations(range(k), size)]


def model_matrix(on: IntArray | FloatArray, columns: list[Term]) -> FloatArray:
    """(c, q) float64: 1 where every direction of a term is on."""
    cells = np.asarray(on, dtype=np.float64)
    return np.column_stack([cells[:, list(term)].prod(axis=1) for term in columns])


def check_rank(on: IntArray, columns: list[Term]) -> None:
    """Refuse a design that cannot tell the columns of a model apart.

    Raises:
        DesignError: names rank and columns.
    """
    matrix = np.column_stack([np.ones(len(on)), model_matrix(on, columns)])
    rank = int(np.linalg.matrix_rank(matrix))
    if rank < matrix.shape[1]:
        raise DesignError(f"{len(on)} cells determine {rank} of the model's {matrix.shape[1]} columns; run more cells")
