"""Variance components of a steering table, by moments: how much prompts, their slopes and rollouts vary.

They are what a power calculation needs, and they are estimated from the residuals of one fixed-effect logit, so
that a pilot of a few dozen prompts gives them in milliseconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from multidir.stats.fixed_effect import LogitFit
from multidir.types import FloatArray, IntArray


class Between(NamedTuple):
    """Standard deviations between prompts, in log-odds."""

    intercept: float
    slopes: FloatArray
    """(q,) float64, one per column; nan where prompts do not determine it."""
    variances: FloatArray
    """(q,) float64. Squares of `slopes` as they are estimated, which may lie below zero."""
    spread: FloatArray
    """(m, q) float64. What each prompt contributes to the error of `variances`; see `stats.contrast`."""


def intraclass(y: FloatArray, n: FloatArray, group: IntArray) -> float:
    """Correlation of sentences within one rollout, from rollouts that share prompt and cell (ANOVA estimator).

        rho = (MSB - MSW) / (MSB + (n0 - 1) MSW)

    with mean squares between the rollouts of a group and between the sentences of a rollout.

    Args:
        y: (r,) float. Backtracks of each rollout.
        n: (r,) float. Sentences, at least 1.
        group: (r,) int. Prompt and cell of each rollout.
    Returns:
        At least 0; nan when no group has two rollouts or no rollout two sentences.
    Source: M. S. Ridout, C. G. B. Demetrio and D. Firth, Biometrics 55 (1999).
    """
    _, index = np.unique(group, return_inverse=True)
    total, hits, squares, count = (np.bincount(index, weights=w) for w in (n, y, n * n, np.ones_like(n)))
    free_between, free_within = float((count - 1).sum()), float((n - 1).sum())
    if free_between == 0 or free_within == 0:
        return math.nan
    between = float((n * (y / n - (hits / total)[index]) ** 2).sum()) / free_between
    within = float((y * (n - y) / n).sum()) / free_within
    size = float((total - squares / total).sum()) / free_between
    if between + (size - 1) * within == 0:
        return math.nan
    return max(0.0, (between - within) / (between + (size - 1) * within))


def between_prompts(y: FloatArray, n: FloatArray, x: FloatArray, fit: LogitFit, inflation: float) -> Between:
    """How much intercepts and effects differ between prompts.

    One Newton step from the common fit gives every prompt its own deviation b_i, with covariance phi (X'W_i X)^-1 from
    sentences alone; what b_i varies beyond that is variance between prompts:

        tau_j^2 = sum_i v_ij (b_ij^2 - phi g_ij) / sum_i v_ij,     g_ij = [(X'W_i X)^-1]_jj,   v_ij = 1 / g_ij^2

    Args:
        y: (m, c) float. Backtracks.
        n: (m, c) float. Sentences.
        x: (c, q) float. Covariates.
        fit: The common fit.
        inflation: phi, variance of counts over that of independent sentences.
    """
    used = np.isfinite(fit.alpha)
    design = np.column_stack([np.ones(len(x)), x])
    p = expit(fit.alpha[used, None] + (x @ np.nan_to_num(fit.beta))[None, :])
    w = n[used] * p * (1 - p)
    information = np.einsum("ic,cq,cr->iqr", w, design, design)
    sound = np.linalg.cond(information) < 1e9
    inverse = np.linalg.inv(information[sound])
    scores = (y[used] - n[used] * p)[sound] @ design
    own = np.einsum("iqr,ir->iq", inverse, scores)
    g = np.diagonal(inverse, axis1=1, axis2=2)
    weight = 1 / g**2
    with np.errstate(invalid="ignore"):
        slopes = (weight * (own**2 - inflation * g)).sum(axis=0) / weight.sum(axis=0)
    spread = np.zeros((len(y), x.shape[1]))
    with np.errstate(invalid="ignore"):
        part = weight * (own**2 - inflation * g - slopes) / weight.sum(axis=0)
    spread[np.flatnonzero(used)[sound]] = part[:, 1:]
    alpha = fit.alpha[used]
    noise = inflation / np.maximum(w.sum(axis=1), 1e-12)
    near = 1 / (1 + noise) ** 2  # prompts that hardly backtrack have wild intercepts
    centre = np.average(alpha, weights=near) if alpha.size else math.nan
    intercept = float((near * ((alpha - centre) ** 2 - noise)).sum() / near.sum()) if alpha.size else math.nan
    return Between(math.sqrt(max(intercept, 0.0)), np.sqrt(np.maximum(slopes[1:], 0.0)), slopes[1:], spread)
