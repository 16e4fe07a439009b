"""Erasing a subspace or a concept from activations: orthogonal projection, and LEACE in closed form from moments.

Every erasure has the form

    x - (x - c) R^T L           L, R (r, d), c (d,)

with L = R orthonormal and c = 0 for a projection onto the complement, c a mean for mean ablation.
"""

from __future__ import annotations

from dataclasses import dataclass

from multidir.errors import DesignError
from multidir.linalg.namespace import Array, as_float64, namespace


def erase(x: Array, left: Array, right: Array, center: Array, share: float = 1.0) -> Array:
    """What is left of x: `x - share (x - center) right^T left`.

    Args:
        x: (..., d) float.
        left: (r, d), what is taken away.
        right: (r, d), how much of it is read from x.
        center: (d,), which is not changed.
        share: 1 for all of it.
    Returns:
        (..., d).
    """
    xp = namespace(x, left)
    return x - share * xp.matmul(xp.matmul(x - center, xp.matrix_transpose(right)), left)


@dataclass(frozen=True, eq=False)
class ConceptMoments:
    """Means and summed products of deviations of activations x and a concept z, row by row.

    Pieces may be merged in any order, as in `linalg.moments.Moments`.
    """

    count: int
    mean_x: Array
    """(d,) float64."""
    mean_z: Array
    """(k,) float64."""
    xx: Array
    """(d, d) float64: sum of products of deviations within x."""
    xz: Array
    """(d, k) float64: between x and z."""

    @classmethod
    def of(cls, x: Array, z: Array) -> ConceptMoments:
        """Moments of (n, d) activations with their (n, k) concept: one column per class, or any real targets.

        Raises:
            DesignError: no rows, or another number of rows in z.
        """
        a, b = as_float64(x), as_float64(z)
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[0] or not a.shape[0]:
            raise DesignError(f"expected activations (n, d) and concept (n, k), got {tuple(a.shape)}, {tuple(b.shape)}")
        xp = namespace(a)
        mean_x, mean_z = xp.mean(a, axis=0), xp.mean(b, axis=0)
        deviation = xp.matrix_transpose(a - mean_x)
        return cls(int(a.shape[0]), mean_x, mean_z, deviation @ (a - mean_x), deviation @ (b - mean_z))

    def merge(self, other: ConceptMoments) -> ConceptMoments:
        """Moments of both sets of rows together."""
        total = self.count + other.count
        share = other.count / total
        dx, dz = other.mean_x - self.mean_x, other.mean_z - self.mean_z
        cross = dx[:, None] * (self.count * share)
        return ConceptMoments(
            total,
            self.mean_x + dx * share,
            self.mean_z + dz * share,
            self.xx + other.xx + cross * dx,
            self.xz + other.xz + cross * dz,
        )

    def update(self, x: Array, z: Array) -> ConceptMoments:
        """Moments with (n, d) and (n, k) more rows."""
        return self.merge(ConceptMoments.of(x, z))


def leace(moments: ConceptMoments, shrink: bool = True, rtol: float = 1e-8) -> tuple[Array, Array]:
    """The smallest change of x after which no linear probe can tell z: least-squares concept erasure.

        W = cov(x)^(-1/2),  U = left singular vectors of W cov(x, z)
        L^T = W^+ U,  R = U^T W          center: mean(x)

    Args:
        moments: of activations and concept.
        shrink: estimate cov(x) with `shrunk`, as is wise when there are not many more rows than channels.
            Without it the covariance of x and z is exactly zero afterwards on the rows of the moments.
        rtol: singular values at or below this share of the largest count as zero (one of k class columns always does).
    Returns:
        (r, d) left and (r, d) right of `erase`, r at most k.
    Raises:
        DesignError: fewer than two rows, or a concept that is constant or does not covary with x at all.
    Source: arXiv 2306.03819, Theorem 4.3.
    """
    if moments.count < 2:
        raise DesignError(f"concept erasure needs at least two rows, got {moments.count}")
    xp, n = namespace(moments.xx), moments.count
    covariance = shrunk(moments.xx / n, n) if shrink else moments.xx / (n - 1)
    values, vectors = xp.linalg.eigh(covariance)
    kept = values > values[-1] * values.shape[0] * float(xp.finfo(values.dtype).eps)
    root = xp.where(kept, values, xp.zeros_like(values)) ** 0.5
    inverse = xp.where(kept, 1 / xp.where(kept, root, xp.ones_like(root)), xp.zeros_like(root))
    whiten = (vectors * inverse) @ xp.matrix_transpose(vectors)
    unwhiten = (vectors * root) @ xp.matrix_transpose(vectors)
    u, s, _ = xp.linalg.svd(whiten @ (moments.xz / (n - 1)), full_matrices=False)
    if float(s[0]) <= 1e-12 * max(1.0, float(xp.max(xp.abs(moments.mean_z)))):  # rounding of a constant
        raise DesignError("the concept does not covary with the activations at all: there is nothing to erase")
    u = u[:, : int((s > rtol * s[0]).sum())]
    return xp.matrix_transpose(unwhiten @ u), xp.matrix_transpose(u) @ whiten


def shrunk(covariance: Array, n: int) -> Array:
    """Covariance (d, d) pulled towards a sphere of equal trace, by the share that is optimal for many channels.

    Args:
        covariance: (d, d) float64, products of deviations over n (not n - 1).
        n: rows it was measured on.
    Source: Bodnar, Gupta, Parolya, arXiv 1308.2608.
    """
    xp = namespace(covariance)
    d = covariance.shape[0]
    trace, square = float(xp.linalg.trace(covariance)), float((covariance**2).sum())
    spread = square - trace**2 / d
    keep = 1 - trace**2 / (n * spread) if spread > 0 else 0.0
    # |S|^2 - tr(S)^2 / d is the part of S that is no sphere; below its sampling noise nothing of it is kept
    keep = max(keep, 0.0)
    return keep * covariance + (1 - keep) * (trace / d) * xp.eye(d, dtype=covariance.dtype, device=_device(covariance))


def _device(x: Array) -> object:
    return getattr(x, "device", None)
