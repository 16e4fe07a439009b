"""Candidates that are one and the same thing: grouped by direction or by firing together, one speaks for each group."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from multidir.errors import DesignError
from multidir.types import FloatArray, IntArray


def likeness(units: FloatArray, readings: FloatArray) -> FloatArray:
    """How much any two candidates are the same: the larger of their cosine and of the correlation of their readings.

    Args:
        units: (k, d) unit vectors, signs as they are meant: opposite directions are not alike.
        readings: (n, k) how strongly each candidate is on at the same n places.
    Returns:
        (k, k) float64; a candidate that is the same everywhere correlates with nothing.
    """
    if units.shape[0] != readings.shape[1]:
        raise DesignError(f"{units.shape[0]} directions, but readings of {readings.shape[1]}")
    z = np.asarray(readings, dtype=np.float64) - readings.mean(axis=0)
    length = np.linalg.norm(z, axis=0)
    z = z / np.where(length > 0, length, 1)
    found: FloatArray = np.maximum(units @ units.T, z.T @ z)
    np.fill_diagonal(found, 1.0)
    return np.clip(found, -1, 1)


def groups(alike: FloatArray, threshold: float) -> IntArray:
    """Groups in which *every* two members are alike by at least the threshold (complete linkage).

    Chains, in which neighbours are alike and the ends are not, are cut: single linkage would join a mixture of two
    causes with both of them.

    Args:
        alike: (k, k) symmetric, 1 on the diagonal.
        threshold: in -1..1.
    Returns:
        (k,) int64: group of each candidate, numbered from 0 by first member.
    """
    k = len(alike)
    if k < 2:
        return np.zeros(k, dtype=np.int64)
    distance = squareform(np.clip(1 - (alike + alike.T) / 2, 0, None), checks=False)
    found = fcluster(linkage(distance, "complete"), 1 - threshold + 1e-12, "distance")
    _, first, number = np.unique(found, return_index=True, return_inverse=True)
    places: IntArray = np.argsort(np.argsort(first))[number]
    return places


def typicality(alike: FloatArray, group: IntArray) -> FloatArray:
    """(k,) float64: how alike each candidate is, on average, to all members of its group."""
    same = group[:, None] == group[None, :]
    found: FloatArray = (alike * same).sum(axis=1) / same.sum(axis=1)
    return found


def representatives(group: IntArray, score: FloatArray, second: FloatArray) -> IntArray:
    """The member of each group with the largest score, of equal ones that with the larger second score.

    Scores that differ by rounding only are equal; unknown ones come last.

    Returns:
        (number of groups,) int64 places, in the order of the groups.
    """
    first, last = (np.nan_to_num(each, nan=-np.inf) for each in (np.round(score, 9), second))
    order = np.lexsort((-last, -first, group))
    _, best = np.unique(group[order], return_index=True)
    found: IntArray = order[best]
    return found
