"""Bases and projections: orthonormal spans, symmetric orthogonalisation, random directions."""

from __future__ import annotations

import numpy as np

from multidir.errors import DesignError
from multidir.linalg.namespace import Array, as_float64, namespace
from multidir.types import FloatArray


def _svd(a: Array) -> tuple[Array, Array, Array]:
    """Thin singular value decomposition in float64: (k, r), (r,), (r, d)."""
    xp = namespace(a)
    x = as_float64(a)
    if x.ndim != 2:
        raise DesignError(f"expected a matrix with one vector per row, got shape {tuple(x.shape)}")
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    return u, s, vh


def tolerance(a: Array, rtol: float | None) -> float:
    """Relative cut for singular values: the given one, or the rounding error of the input's own float type."""
    if rtol is not None:
        return rtol
    xp = namespace(a)
    kept = a.dtype if a.dtype in (xp.float32, xp.float64) else xp.float64
    return float(xp.finfo(kept).eps) * max(int(size) for size in a.shape)


def orthonormal_basis(a: Array, rtol: float | None = None) -> Array:
    """Orthonormal rows that span the rows of a matrix.

    Args:
        a: (k, d) float.
        rtol: Singular values at or below `rtol * largest` count as zero; by default the rounding error of
            the input's float type. Vectors that were stored in half precision need about 1e-2.
    Returns:
        (r, d) float64, r the numerical rank (0 rows for a zero matrix).
    """
    _, s, vh = _svd(a)
    rank = int((s > tolerance(a, rtol) * s[0]).sum()) if s.shape[0] else 0
    return vh[:rank]


def loewdin(a: Array, rtol: float | None = None) -> Array:
    """The nearest matrix with orthonormal rows: symmetric orthogonalisation, no row preferred.

        Q = (A A^T)^(-1/2) A = U V^T        minimises |Q - A| (Frobenius) over all Q with Q Q^T = 1

    The order of the rows does not matter, unlike in Gram-Schmidt. Rows of unequal length pull unequally:
    pass unit vectors for an even compromise.

    Args:
        a: (k, d) float, linearly independent rows.
        rtol: As in `orthonormal_basis`.
    Returns:
        (k, d) float64.
    Raises:
        DesignError: the rows are linearly dependent.
    Source: P.-O. Loewdin, J. Chem. Phys. 18, 365 (1950).
    """
    u, s, vh = _svd(a)
    k = a.shape[0]
    rank = int((s > tolerance(a, rtol) * s[0]).sum()) if s.shape[0] else 0
    if rank < k:
        raise DesignError(f"{k} vectors span only {rank} dimensions; drop {k - rank} of them before orthogonalising")
    return u @ vh


def project_out(x: Array, basis: Array) -> Array:
    """What is left of x outside a subspace.

    Args:
        x: (..., d) float.
        basis: (r, d) float with orthonormal rows.
    Returns:
        (..., d) of the type of x.
    """
    xp = namespace(x, basis)
    return x - xp.matmul(xp.matmul(x, xp.matrix_transpose(basis)), basis)


def random_units(k: int, d: int, rng: np.random.Generator, factor: FloatArray | None = None) -> FloatArray:
    """Random unit vectors: uniform on the sphere, or shaped like given rows.

    Args:
        k: How many.
        d: Width.
        rng: Source of randomness.
        factor: (r, d) float, rows whose Gram over rows `factor.T @ factor` is the covariance wanted
            (centred activations will do). The draws then have that covariance before they are normalised.
    Returns:
        (k, d) float64.
    """
    if factor is None:
        raw = rng.standard_normal((k, d))
    else:
        shape = np.asarray(factor, dtype=np.float64)
        if shape.ndim != 2 or shape.shape[1] != d:
            raise DesignError(f"factor must have shape (r, {d}), got {shape.shape}")
        raw = rng.standard_normal((k, shape.shape[0])) @ shape
    return norm_matched(raw, 1.0)


def norm_matched(a: FloatArray, norm: float | FloatArray) -> FloatArray:
    """Rows scaled to a norm.

    Args:
        a: (k, d) float.
        norm: One norm for all rows, or (k,) norms, in the unit of the rows.
    Returns:
        (k, d) float64.
    Raises:
        DesignError: a row is zero or not finite.
    """
    x = np.asarray(a, dtype=np.float64)
    length = np.linalg.norm(x, axis=-1)
    bad = np.flatnonzero(~np.isfinite(length) | (length == 0))
    if bad.size:
        raise DesignError(f"rows {bad.tolist()} have no direction (norms {length[bad].tolist()}) and cannot be scaled")
    scaled: FloatArray = x * (np.broadcast_to(norm, length.shape) / length)[:, None]
    return scaled
