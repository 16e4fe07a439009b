"""Effects averaged over prompts that differ, from a fit in which all prompts share them.

A logit with common effects does not estimate their mean when effects differ between prompts: where a direction works
well its log-odds are closer to one half, the curve is steeper there, and an interaction that is nowhere comes out
negative. To second order that gap is linear in the variances tau_j^2 of the effects between prompts:

    beta_mean = beta - sum_j g_j tau_j^2,      g_j = (fit(expected counts at beta_j +- h) - beta) / h^2

with tau_j^2 from the same counts (`components.between_prompts`), and not cut off at zero, so that the correction is nil
on average where prompts do not differ. What each prompt contributes to tau_j^2 enters the interval.
Source: C. Gourieroux, A. Monfort and E. Renault, Indirect inference, J. Appl. Econometrics 8 (1993), one step.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.special import expit

from multidir.stats.components import between_prompts
from multidir.stats.fixed_effect import LogitFit, fit_many
from multidir.types import FloatArray

STEP = 0.5
"""h, in log-odds: about as much as effects differ between prompts."""


def prompt_average(fit: LogitFit, y: FloatArray, n: FloatArray, x: FloatArray, inflation: float) -> LogitFit:
    """The fit with coefficients that are means over prompts.

    Args:
        fit: Of these counts.
        y: (m, c) float. Backtracks.
        n: (m, c) float. Sentences.
        x: (c, q) float. Covariates.
        inflation: Variance of counts over that of independent sentences, from `inflation_of`; where it is nan, or a
            coefficient is, the fit is returned as it is.
    """
    used = np.isfinite(fit.alpha)
    if math.isnan(inflation) or np.isnan(fit.beta).any() or used.sum() < 2:
        return fit
    between = between_prompts(y, n, x, fit, inflation)
    gaps = _gaps(fit, n[used], x, fit.alpha[used])
    if np.isnan(gaps).any() or np.isnan(between.variances).any():
        return fit
    beta, spread = fit.beta - between.variances @ gaps, fit.spread - between.spread @ gaps
    return replace(fit, beta=beta, spread=spread, method=f"{fit.method}, mean over prompts")


def _gaps(fit: LogitFit, n: FloatArray, x: FloatArray, alpha: FloatArray) -> FloatArray:
    """(q, q) row j: by how much the common fit misses every mean, per unit of variance of effect j."""
    q = x.shape[1]
    effects = fit.beta + STEP * np.stack([np.eye(q), -np.eye(q)], axis=1)
    p = expit(alpha[None, None, :, None] + (effects @ x.T)[:, :, None, :]).reshape(q, -1, len(x))
    trials = np.broadcast_to(n, (q, 2, *n.shape)).reshape(p.shape)
    found, _ = fit_many(trials * p, trials, x)
    gaps: FloatArray = (found - fit.beta) / STEP**2
    return gaps


def inflation_of(
    y: FloatArray, n: FloatArray, x: FloatArray, fit: LogitFit, half_y: FloatArray, half_n: FloatArray
) -> float:
    """Variance of counts over that of independent sentences, at least 1; nan when nothing tells it.

    From what is left of each prompt's cells after effects of its own, or, in a design without a cell to spare, from
    two halves of its rollouts.

    Args:
        y: (m, c) float. Backtracks.
        n: (m, c) float. Sentences.
        x: (c, q) float. Covariates.
        fit: The common fit.
        half_y: (m, c) float. Backtracks in every other rollout.
        half_n: (m, c) float. Sentences in every other rollout.
    """
    used = np.isfinite(fit.alpha)
    p = expit(fit.alpha[used, None] + (x @ np.nan_to_num(fit.beta))[None, :])
    y, n, half_y, half_n = (a[used] for a in (y, n, half_y, half_n))
    spare = x.shape[0] - x.shape[1] - 1
    if spare > 0:
        design = np.column_stack([np.ones(len(x)), x])
        w = n * p * (1 - p)
        information = np.einsum("ic,cq,cr->iqr", w, design, design)
        sound = (n > 0).all(axis=1) & (np.linalg.cond(information) < 1e9)
        residual = (y - n * p)[sound]
        scores = residual @ design
        own = np.einsum("iq,iqr,ir->i", scores, np.linalg.inv(information[sound]), scores)
        total = float(((residual**2 / w[sound]).sum(axis=1) - own).sum())
        return max(1.0, total / (spare * int(sound.sum()))) if sound.any() else math.nan
    other_y, other_n = y - half_y, n - half_n
    both = (half_n > 0) & (other_n > 0)
    if not both.any():
        return math.nan
    gap = half_y[both] / half_n[both] - other_y[both] / other_n[both]
    expected = (p * (1 - p))[both] * (1 / half_n[both] + 1 / other_n[both])
    return max(1.0, float((gap**2).sum() / expected.sum()))
