"""How directions lie to each other: cosines, principal angles, effective rank."""

from __future__ import annotations

import numpy as np

from multidir.errors import DesignError
from multidir.linalg.basis import orthonormal_basis
from multidir.linalg.namespace import Array, as_float64, namespace
from multidir.types import FloatArray


def cosine(u: Array, v: Array) -> float:
    """Cosine of the angle between two (d,) vectors.

    Raises:
        DesignError: a vector is zero or not finite, or the widths differ.
    """
    return float(cosine_matrix(as_float64(u)[None, :], as_float64(v)[None, :])[0, 0])


def cosine_matrix(a: Array, b: Array | None = None) -> Array:
    """Cosines between the rows of two matrices.

    Args:
        a: (k, d) float.
        b: (m, d) float; the rows of `a` when absent.
    Returns:
        (k, m) float64 in [-1, 1].
    Raises:
        DesignError: a row is zero or not finite, or the widths differ.
    """
    left = _unit_rows(a)
    right = left if b is None else _unit_rows(b)
    if left.shape[1] != right.shape[1]:
        raise DesignError(f"cosines need vectors of one width, got {left.shape[1]} and {right.shape[1]}")
    xp = namespace(left, right)
    return xp.clip(xp.matmul(left, xp.matrix_transpose(right)), -1.0, 1.0)


def row_cosines(a: Array, b: Array) -> Array:
    """Cosine of row i of one matrix with row i of the other; nan where a row has no direction.

    For resampling, where single draws may be undefined; `cosine` raises instead.

    Args:
        a: (m, d) float.
        b: (m, d) or (1, d) float.
    Returns:
        (m,) float64.
    """
    xp = namespace(a, b)
    x, y = as_float64(a), as_float64(b)
    squared = xp.sum(x * x, axis=1) * xp.sum(y * y, axis=1)
    safe = xp.where(squared > 0, squared, xp.nan * xp.ones_like(squared))
    return xp.sum(x * y, axis=1) / xp.sqrt(safe)


def principal_angles(a: FloatArray, b: FloatArray, rtol: float | None = None) -> FloatArray:
    """Angles between the spans of two sets of vectors, smallest first.

    Small angles are taken from sines and large ones from cosines, because the arc cosine loses half the
    digits near 0.

    Args:
        a: (k, d) float, vectors as rows; they need not be independent.
        b: (m, d) float.
        rtol: Rank cut, as in `orthonormal_basis`.
    Returns:
        (min(rank a, rank b),) float64, radians in [0, pi/2].
    Raises:
        DesignError: a span is empty or the widths differ.
    Source: Knyazev and Argentati, SIAM J. Sci. Comput. 23 (2002).
    """
    p, q = (np.asarray(orthonormal_basis(np.asarray(x, dtype=np.float64), rtol)) for x in (a, b))
    if p.shape[0] == 0 or q.shape[0] == 0 or p.shape[1] != q.shape[1]:
        raise DesignError(f"principal angles need two spans of one width, got ranks and widths {p.shape} and {q.shape}")
    p, q = (p, q) if p.shape[0] >= q.shape[0] else (q, p)
    overlap = q @ p.T
    cosines = np.clip(np.linalg.svd(overlap, compute_uv=False), 0, 1)
    sines = np.clip(np.linalg.svd(q - overlap @ p, compute_uv=False), 0, 1)[::-1]
    angles: FloatArray = np.where(cosines**2 > 0.5, np.arcsin(sines), np.arccos(cosines))
    return angles


def singular_shares(a: FloatArray) -> FloatArray:
    """Singular values of a (k, d) matrix as shares of their sum, largest first: (min(k, d),) float64.

    Raises:
        DesignError: the matrix is zero.
    """
    s: FloatArray = np.linalg.svd(np.asarray(a, dtype=np.float64), compute_uv=False)
    if s.size == 0 or s[0] == 0:
        raise DesignError("a zero matrix has no singular-value shares")
    shares: FloatArray = s / s.sum()
    return shares


def effective_rank(a: FloatArray) -> float:
    """Exponential of the entropy of the singular-value shares: between 1 and the rank of (k, d).

    Raises:
        DesignError: the matrix is zero.
    Source: Roy and Vetterli, EUSIPCO 2007.
    """
    shares = singular_shares(a)
    positive = shares[shares > 0]
    return float(np.exp(-np.sum(positive * np.log(positive))))


def _unit_rows(a: Array) -> Array:
    """Rows at length 1 in float64, or a complaint that names the rows."""
    x = as_float64(a)
    xp = namespace(x)
    length = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))
    bad = [i for i, value in enumerate(length[:, 0]) if not 0 < float(value) < float("inf")]
    if bad:
        raise DesignError(f"vectors {bad} are zero or not finite, so that their angles are not defined")
    return x / length
