"""k-sparse probes: a logistic probe on the k latents of a dictionary that differ most between the classes.

Latents are ranked within every training set by  |mean(a[z]) - mean(a[not z])| / std(a),  so that no held-out row
takes part in the choice.
Source: arXiv 2305.01610 (ranking by mean difference, then refitting).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from multidir.methods.probe_logistic import Solver, check_training, fit_logistic
from multidir.types import BoolArray, FloatArray, IntArray


class SparseProbes(NamedTuple):
    """Scores and latents of k-sparse probes."""

    scores: FloatArray
    """(n, s, c) float64, one setting per k."""
    latents: tuple[tuple[IntArray, ...], ...]
    """By training set and k: the latents chosen, best first."""


def fit_sparse(
    acts: FloatArray,
    target: BoolArray,
    train: BoolArray,
    ks: tuple[int, ...],
    penalty: float,
    solver: Solver | None = None,
) -> SparseProbes:
    """Choose latents and fit a probe on them, for every training set and k.

    Args:
        acts: (n, f) float activations of latents.
        target: (n,) bool.
        train: (n, s) bool.
        ks: numbers of latents.
        penalty: scikit-learn's C of the probe on the chosen latents.
        solver: how far and where to solve.
    Raises:
        DesignError: a training set lacks one of the classes.
    """
    check_training(np.broadcast_to(target[:, None], train.shape), train)
    scores = np.empty((*train.shape, len(ks)))
    chosen = []
    for s, rows in enumerate(train.T):
        order = rank_latents(acts[rows], target[rows])
        chosen.append(tuple(order[: min(k, acts.shape[1])] for k in ks))
        for c, latents in enumerate(chosen[-1]):
            x = acts[None][:, :, latents]
            probes = fit_logistic(x, target, rows[:, None], np.array([penalty]), solver)
            scores[:, s, c] = probes.scores(x)[0, :, 0, 0]
    return SparseProbes(scores, tuple(chosen))


def rank_latents(acts: FloatArray, target: BoolArray) -> IntArray:
    """(f,) latents in falling order of their standardised mean difference; silent ones last."""
    gap = np.abs(acts[target].mean(axis=0) - acts[~target].mean(axis=0))
    deviation = acts.std(axis=0)
    found: IntArray = np.argsort(-np.divide(gap, deviation, out=np.zeros_like(gap), where=deviation > 0), kind="stable")
    return found
