"""Norms and cosines of estimated vectors, with the sampling noise taken out.

In many dimensions the noise of an estimated vector is long: it inflates the norm, pulls the cosine of two
independent estimates towards 0 and that of two estimates from the same traces towards their common noise. The
bootstrap repeats the same error on top of the first, so that a percentile interval of the norm lies wholly
above the truth (in simulations its coverage is near 0). Norms and cosines are functions of inner products,
though, and an inner product is inflated by a fixed amount: so every draw is reflected about the observed
value,  G~ = 2 G - G*,  which takes that amount out of the value and of both ends.
"""

from __future__ import annotations

import math

import numpy as np

from multidir.errors import DesignError
from multidir.stats.bootstrap import percentile_estimate
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray

METHOD = "cluster bootstrap, noise removed"


def denoised_norm(
    observed: FloatArray, draws: FloatArray, i: int, n: int, level: float = 0.95, scale: str = "residual units"
) -> Estimate:
    """Norm of vector i as it would be without sampling noise; 0 when noise explains all of it.

    Args:
        observed: (k, k) float. Inner products of the k estimated vectors.
        draws: (w, k, k) float. The same in each resample; nan where a resample has no vector.
        i: Which vector.
        n: Number of clusters.
        level: Coverage wanted. Conservative when noise dominates.
        scale: Unit, for print.
    """
    value, values = (np.maximum(g[..., i, i], 0.0) ** 0.5 for g in _reflected(observed, draws))
    return percentile_estimate(float(value), values, n, level, METHOD, scale)


def denoised_cosine(observed: FloatArray, draws: FloatArray, i: int, j: int, n: int, level: float = 0.95) -> Estimate:
    """Cosine of vectors i and j as it would be without sampling noise; nan when noise explains one of them.

    Arguments as in `denoised_norm`. The value is clipped to [-1, 1].
    """
    value, values = (_cosine(g, i, j) for g in _reflected(observed, draws))
    return percentile_estimate(float(value), values, n, level, METHOD, "cosine")


def _reflected(observed: FloatArray, draws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Observed inner products and all draws of them, each without its inflation."""
    g, drawn = np.asarray(observed, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if g.ndim != 2 or drawn.shape[1:] != g.shape:
        raise DesignError(f"inner products need shapes (k, k) and (w, k, k), got {g.shape} and {drawn.shape}")
    known = drawn[~np.isnan(drawn).any(axis=(1, 2))]
    centre = known.mean(axis=0) if known.size else np.full_like(g, math.nan)
    return 2 * g - centre, 2 * g - drawn


def _cosine(g: FloatArray, i: int, j: int) -> FloatArray:
    """Cosine from inner products; nan where a squared norm is not positive."""
    both = np.where((g[..., i, i] > 0) & (g[..., j, j] > 0), g[..., i, i] * g[..., j, j], math.nan)
    return np.clip(g[..., i, j] / np.sqrt(both), -1.0, 1.0)
