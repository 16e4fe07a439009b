"""Directions of a cloud of rows without labels of its parts: principal axes, and axes that vary independently.

Principal axes are at right angles and mix causes that happen together. Independent ones (ICA) are not: where causes
come and go by themselves and each is on or off, the axes along which rows are least Gaussian are the causes' own.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from multidir.errors import DesignError
from multidir.types import FloatArray


@dataclass(frozen=True, eq=False)
class Axes:
    """Unit vectors with how much they carry."""

    units: FloatArray
    """(k, d) float64."""
    shares: FloatArray
    """(k,) share of the summed squares of the rows that each carries by itself."""
    converged: bool = True


def principal_axes(x: FloatArray, k: int, centre: FloatArray | None = None) -> Axes:
    """The k directions with the largest mean square of rows about a centre.

    Args:
        x: (n, d) float.
        k: how many; fewer come back where rows span fewer dimensions.
        centre: (d,) float; the mean row when none.
    Raises:
        DesignError: fewer than two rows, rows that are all the same, or a value that is not finite.
    """
    a = _centred(x, centre)
    _, s, vh = np.linalg.svd(a, full_matrices=False)
    kept = int((s > 1e-10 * s[0]).sum())
    return Axes(vh[: min(k, kept)], (s**2 / (s**2).sum())[: min(k, kept)])


def independent_axes(x: FloatArray, k: int, seed: int, rounds: int = 400) -> Axes:
    """Directions in which rows move when one of k independent sources moves: columns of the mixing matrix of FastICA.

    Args:
        x: (n, d) float.
        k: sources, sought within the k leading principal axes.
        seed: of the starting point.
        rounds: iterations after which the search is given up; `converged` then says so.
    Returns:
        Axes by falling share, each with the sign in which its source is skewed to: a cause that is rarely on is
        positive when it is on.
    Raises:
        DesignError: as `principal_axes`, or rows that span fewer than k dimensions.
    Source: Hyvaerinen and Oja, Neural Networks 13 (2000).
    """
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    a = _centred(x, None)
    rank = len(principal_axes(x, k).units)
    if rank < k:
        raise DesignError(f"{k} independent directions of rows that span {rank} dimensions; ask for {rank} at most")
    finder = FastICA(k, whiten="unit-variance", whiten_solver="eigh", random_state=seed, max_iter=rounds, tol=1e-3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sources = finder.fit_transform(a)
    mixing = np.asarray(finder.mixing_, dtype=np.float64).T
    lengths = np.linalg.norm(mixing, axis=1)
    order = np.argsort(-lengths, kind="stable")
    signs = np.where((sources**3).mean(axis=0) < 0, -1.0, 1.0)
    units = (mixing / lengths[:, None] * signs[:, None])[order]
    converged = not any(issubclass(each.category, ConvergenceWarning) for each in said)
    return Axes(units, (lengths**2 * len(a) / (a**2).sum())[order], converged)


def halves_agreement(units: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """How stable directions are that have no order: for each, how well it is found again in both halves of the data.

    Args:
        units: (k, d) unit vectors from all rows.
        first: (m, d) unit vectors from one half.
        second: (m, d) unit vectors from the other half.
    Returns:
        (k,) float64: the smaller of the two largest absolute cosines.
    """
    found: FloatArray = np.minimum(*(np.abs(units @ half.T).max(axis=1) for half in (first, second)))
    return found


def _centred(x: FloatArray, centre: FloatArray | None) -> FloatArray:
    rows = np.asarray(x, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2 or not np.isfinite(rows).all():
        raise DesignError(f"directions of a cloud need two finite rows (n, d) at least, got shape {rows.shape}")
    a = rows - (rows.mean(axis=0) if centre is None else centre)
    if not (np.abs(a) > 1e-12 * max(1.0, float(np.abs(rows).max()))).any():
        raise DesignError(f"all {len(rows)} rows are the same, so that they lie in no direction")
    return a
