"""Interaction indices of sets of directions, all from one fitted table.

With every subset of directions run, the log-odds v(S) are a set function, and "the interaction of S" has several
meanings. They are linear in the Moebius coefficients m, the coefficients of the saturated model in 0/1 coding:

    Moebius (Harsanyi dividend)      m(S)                                       the others off
    Banzhaf                          sum over T >= S of m(T) / 2^(|T| - |S|)    averaged over the others, each on or off
    Shapley (SII)                    sum over T >= S of m(T) / (|T| - |S| + 1)  averaged over orders of joining
    Shapley-Taylor of order 2        sum over T >= S of m(T) / C(|T|, 2)        for pairs: shared out among them

A pure three-way coefficient of 0.6 shows on each of its pairs as 0, 0.3, 0.3 and 0.2: quoting one of them as "the
interaction" is a choice.

Source: M. Grabisch and M. Roubens, Int. J. Game Theory 28 (1999); M. Sundararajan et al., arXiv 1902.05622.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

import numpy as np

from multidir.stats.factorial import Term
from multidir.types import FloatArray

INDICES: dict[str, Callable[[int, int], float]] = {
    "moebius": lambda s, t: float(s == t),
    "banzhaf": lambda s, t: 2.0 ** (s - t),
    "shapley": lambda s, t: 1.0 / (t - s + 1),
    "shapley_taylor": lambda s, t: float(s == t) if s < 2 else (1.0 / comb(t, 2) if s == 2 else 0.0),
}
"""Index -> weight of the Moebius coefficient of a set of size t in the index of a subset of size s."""


def index_weights(name: str, columns: Sequence[Term]) -> FloatArray:
    """(q, q) float64: row S holds the weights of all Moebius coefficients in the index of S.

    Args:
        name: One of `INDICES`.
        columns: Terms of the saturated model, each a tuple of directions.
    """
    weight = INDICES[name]
    return np.array([[weight(len(s), len(t)) if set(s) <= set(t) else 0.0 for t in columns] for s in columns])
