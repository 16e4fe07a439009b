"""Effects averaged over prompts that differ, from a fit in which all prompts share them.

A logit with common effects does not estimate their mean when effects differ between prompts: where a direction works
well its log-odds are closer to one half, the curve is steeper there, and an interaction that is nowhere comes out
negative. To second order that gap is linear in the variances tau_j^2 of the effects between prompts:

    beta_mean = beta - sum_j g_j tau_j^2,      g_j = (fit(expected counts at beta_j +- h) - beta) / h^2

with tau_j^2 from the same counts (`components.between_prompts`), and not cut off at zero, so that the correction is nil
on average where prompts do not differ. One such variance is known badly; those of effects of one kind (single
directions, pairs) are drawn to their common mean by as much of their scatter as is error. What each prompt contributes
to them enters the interval, and so does that g depends on the fit (without it intervals cover 92 percent, not 95).
Source: C. Gourieroux, A. Monfort and E. Renault, Indirect inference, J. Appl. Econometrics 8 (1993), one step;
C. N. Morris, Parametric empirical Bayes inference, J. Amer. Statist. Assoc. 78 (1983).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit

from multidir.stats.components import between_prompts
from multidir.stats.fixed_effect import LogitFit, fit_many, intercepts
from multidir.types import FloatArray, IntArray

STEP = 0.5
"""h, in log-odds: about as much as effects differ between prompts."""
TURN = 0.1
"""Change of a coefficient, in log-odds, over which the correction's own slope is taken."""
LEAST_PROMPTS = 20
"""Prompts below which the gap would be known worse than it is large."""


def prompt_average(
    fit: LogitFit, y: FloatArray, n: FloatArray, x: FloatArray, inflation: FloatArray, kinds: IntArray
) -> LogitFit:
    """The fit with coefficients that are means over prompts.

    Args:
        fit: Of these counts.
        y: (m, c) float. Backtracks.
        n: (m, c) float. Sentences.
        x: (c, q) float. Covariates.
        inflation: (m,) variance of counts over that of independent sentences, from `inflation_of`; where fewer than
            `LEAST_PROMPTS` prompts tell it, or a coefficient is nan, the fit is returned as it is.
        kinds: (q,) int. Columns whose effects differ alike between prompts have the same number.
    """
    used = np.isfinite(fit.alpha)
    told = used & np.isfinite(inflation)
    if np.isnan(fit.beta).any() or told.sum() < LEAST_PROMPTS:
        return fit
    known = replace(fit, alpha=np.where(told, fit.alpha, np.nan))
    between = between_prompts(y, n, x, known, inflation)
    gaps = _gaps(n[used], x, fit.alpha[used], fit.beta)
    if np.isnan(gaps).any() or np.isnan(between.variances).any():
        return fit
    variances, deviations = _drawn_together(between.variances, between.spread, kinds)
    correction = variances @ gaps
    turn = _turn(y[used], n[used], x, fit, variances, correction)
    spread = fit.spread - deviations @ gaps - fit.spread @ turn
    return replace(fit, beta=fit.beta - correction, spread=spread, method=f"{fit.method}, mean over prompts")


def _turn(
    y: FloatArray, n: FloatArray, x: FloatArray, fit: LogitFit, variances: FloatArray, correction: FloatArray
) -> FloatArray:
    """(q, q) by how much the correction changes with each coefficient of the fit that it is made for."""
    alpha, rows = fit.alpha[np.isfinite(fit.alpha)], []
    for beta in fit.beta + TURN * np.eye(len(fit.beta)):
        moved = variances @ _gaps(n, x, intercepts(y, n, x, beta, alpha), beta)
        rows.append((moved - correction) / TURN)
    turn = np.array(rows)
    return np.where(np.isfinite(turn), turn, 0.0)


def _drawn_together(variances: FloatArray, spread: FloatArray, kinds: IntArray) -> tuple[FloatArray, FloatArray]:
    """Variances of one kind with less scatter, and what each prompt contributes to them."""
    values, deviations = variances.copy(), spread.copy()
    for kind in np.unique(kinds):
        alike = np.flatnonzero(kinds == kind)
        error = float((spread[:, alike] ** 2).sum(axis=0).mean())
        scatter = float(variances[alike].var(ddof=1)) if alike.size > 1 else 0.0
        share = min(error / scatter, 1.0) if scatter > 0 else 0.0
        values[alike] += share * (variances[alike].mean() - variances[alike])
        deviations[:, alike] += share * (spread[:, alike].mean(axis=1, keepdims=True) - spread[:, alike])
    return values, deviations


def _gaps(n: FloatArray, x: FloatArray, alpha: FloatArray, beta: FloatArray) -> FloatArray:
    """(q, q) row j: by how much the common fit misses every mean, per unit of variance of effect j."""
    q = x.shape[1]
    effects = beta + STEP * np.stack([np.eye(q), -np.eye(q)], axis=1)
    p = expit(alpha[None, None, :, None] + (effects @ x.T)[:, :, None, :]).reshape(q, -1, len(x))
    trials = np.broadcast_to(n, (q, 2, *n.shape)).reshape(p.shape)
    found, _ = fit_many(trials * p, trials, x, (np.tile(alpha, 2), beta))
    gaps: FloatArray = (found - beta) / STEP**2
    return gaps


def inflation_of(
    y: FloatArray, n: FloatArray, x: FloatArray, fit: LogitFit, half_y: FloatArray, half_n: FloatArray
) -> FloatArray:
    """(m,) variance of a prompt's counts over that of independent sentences; nan where nothing tells it.

    From what is left of a prompt's cells after effects of its own, or, in a design without a cell to spare, from two
    halves of its rollouts. One prompt tells little, but a common value would be wrong where it matters most: prompts
    with long rollouts vary more and weigh more.

    Args:
        y: (m, c) float. Backtracks.
        n: (m, c) float. Sentences.
        x: (c, q) float. Covariates.
        fit: The common fit.
        half_y: (m, c) float. Backtracks in every other rollout.
        half_n: (m, c) float. Sentences in every other rollout.
    """
    used = np.isfinite(fit.alpha)
    found = np.full(len(y), np.nan)
    p = expit(fit.alpha[used, None] + (x @ np.nan_to_num(fit.beta))[None, :])
    y, n, half_y, half_n = (a[used] for a in (y, n, half_y, half_n))
    spare = x.shape[0] - x.shape[1] - 1
    found[used] = _from_spare(y, n, p, x, spare) if spare > 0 else _from_halves(y, n, half_y, half_n, p)
    return found


def _from_spare(y: FloatArray, n: FloatArray, p: FloatArray, x: FloatArray, spare: int) -> FloatArray:
    design = np.column_stack([np.ones(len(x)), x])
    w = n * p * (1 - p)
    information = np.einsum("ic,cq,cr->iqr", w, design, design)
    sound = (n > 0).all(axis=1) & (np.linalg.cond(information) < 1e9)
    residual = y - n * p
    scores = (residual @ design)[sound]
    own = np.einsum("iq,iqr,ir->i", scores, np.linalg.inv(information[sound]), scores)
    found = np.full(len(y), np.nan)
    found[sound] = ((residual[sound] ** 2 / w[sound]).sum(axis=1) - own) / spare
    return found


def _from_halves(y: FloatArray, n: FloatArray, half_y: FloatArray, half_n: FloatArray, p: FloatArray) -> FloatArray:
    rest_y, rest_n = y - half_y, n - half_n
    both = (half_n > 0) & (rest_n > 0)
    a, b = np.where(both, half_n, 1.0), np.where(both, rest_n, 1.0)
    gap = np.where(both, half_y / a - rest_y / b, 0.0)
    expected = np.where(both, p * (1 - p) * (1 / a + 1 / b), 0.0).sum(axis=1)
    return np.where(expected > 0, (gap**2).sum(axis=1) / np.where(expected > 0, expected, 1.0), np.nan)
