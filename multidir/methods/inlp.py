"""Iterative null-space projection: find a probe, take its normal out, find the next one in what is left."""

from __future__ import annotations

import numpy as np

from multidir.errors import DesignError
from multidir.linalg.basis import project_out
from multidir.methods.probe_logistic import fit_logistic
from multidir.types import BoolArray, FloatArray


def inlp_directions(x: FloatArray, target: BoolArray, k: int, penalty: float) -> FloatArray:
    """Normals of k logistic probes, each fitted on rows from which the earlier normals have been taken out.

    Args:
        x: (n, d) float.
        target: (n,) bool.
        k: how many.
        penalty: C of the probes (standardised channels).
    Returns:
        (k, d) float64 orthonormal rows, in the order in which they were found.
    Raises:
        DesignError: more directions than rows span, or one of the classes is empty.
    Source: Ravfogel et al., arXiv 2004.07667.
    """
    rows = np.asarray(x, dtype=np.float64)
    centred = rows - rows.mean(axis=0)
    rank = int(np.linalg.matrix_rank(centred))
    if not 0 < k <= rank:
        raise DesignError(f"{k} directions cannot be taken out of rows that span {rank}; ask for 1 to {rank}")
    basis = np.zeros((0, rows.shape[1]))
    for _ in range(k):
        left = project_out(centred, basis)
        fitted = fit_logistic(left[None], target, np.ones((len(rows), 1), dtype=bool), np.array([penalty]))
        normal = project_out(fitted.weight[0, 0, 0], basis)
        basis = np.vstack([basis, normal / np.linalg.norm(normal)])
    return basis
