"""Probes in closed form: difference of means, and the same whitened by the covariance within classes (LDA).

    difference    w = mean(x[z]) - mean(x[not z])
    LDA           w = inverse((1 - a) S + a tr(S) / d I) (mean(x[z]) - mean(x[not z])),   S within classes

LDA is taken in channels divided by their deviation over the training rows, so that its normals are those of
scikit-learn's `make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=a))`.
"""

from __future__ import annotations

import numpy as np

from multidir.methods.probe_logistic import LinearProbes, check_training
from multidir.types import BoolArray, FloatArray


def fit_difference(x: FloatArray, target: BoolArray, train: BoolArray) -> LinearProbes:
    """Difference of class means of one cell, for every training set: the steering vector, as a probe.

    Args:
        x: (n, d) float.
        target: (n,) bool, or (n, s).
        train: (n, s) bool.
    Raises:
        DesignError: a training set lacks one of the classes.
    """
    return _fit(x, target, train, None)


def fit_lda(x: FloatArray, target: BoolArray, train: BoolArray, shrinkages: FloatArray) -> LinearProbes:
    """Linear discriminant analysis of one cell, for every training set and shrinkage.

    Args:
        x: (n, d) float.
        target: (n,) bool, or (n, s).
        train: (n, s) bool.
        shrinkages: (c,) from 0 (the covariance as it is) to 1 (its mean diagonal only).
    Raises:
        DesignError: a training set lacks one of the classes.
    """
    return _fit(x, target, train, shrinkages)


def _fit(x: FloatArray, target: BoolArray, train: BoolArray, shrinkages: FloatArray | None) -> LinearProbes:
    y = np.broadcast_to(np.asarray(target, dtype=bool).reshape(len(train), -1), train.shape)
    check_training(y, train)
    rows = np.asarray(x, dtype=np.float64)
    weights, middles = zip(
        *(_one(rows[t], one[t], shrinkages) for one, t in zip(y.T, train.T, strict=True)), strict=True
    )
    weight = np.stack(weights)
    bias = -np.einsum("scd,sd->sc", weight, np.stack(middles))
    return LinearProbes(weight[None], bias[None], np.zeros_like(bias)[None])


def _one(x: FloatArray, y: BoolArray, shrinkages: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """(c, d) normals of one training set, and (d,) the point between the means."""
    means = x[~y].mean(axis=0), x[y].mean(axis=0)
    gap, middle = means[1] - means[0], (means[0] + means[1]) / 2
    if shrinkages is None:
        return gap[None], middle
    deviation = x.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    within = (x - np.where(y[:, None], means[1], means[0])) / scale
    # eigenvalues once, and every shrinkage is a division
    values, vectors = np.linalg.eigh(within.T @ within / len(x))
    values = np.maximum(values, 0)
    shrunk = (1 - shrinkages[:, None]) * values + shrinkages[:, None] * values.mean()
    inverse = np.where(shrunk > 1e-12 * values.max(), 1 / np.maximum(shrunk, 1e-300), 0)
    return (inverse * (vectors.T @ (gap / scale))) @ vectors.T / scale, middle
