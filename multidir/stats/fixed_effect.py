"""Logit with one free intercept per prompt, on counts, with intervals clustered by prompt.

    logit P(backtrack | prompt i, cell j) = alpha_i + x_j . beta

The intercepts are profiled out inside Newton's method: with w = n p (1 - p) and residuals r = y - n p,

    H = sum_ij w_ij x_j x_j' - sum_i s_i s_i' / w_i,     s_i = sum_j w_ij x_j,     w_i = sum_j w_ij

Rollouts of one prompt are alike, so the covariance is the sandwich over prompts (CR1), or below
`JACKKNIFE_BELOW` prompts the cluster jackknife, which stays honest there. A prompt without any backtracking,
or with nothing else, says nothing about beta: it is left out and counted.

Source: MacKinnon, Nielsen and Webb, Cluster-robust jackknife and bootstrap inference for logistic regression,
arXiv 2406.00650 (CV1, CV3); profiling as in Stammann, Heiss and McFadden (2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from multidir.errors import DesignError
from multidir.stats.contrast import Contrast
from multidir.types import BoolArray, FloatArray

JACKKNIFE_BELOW = 40
"""Prompts below which the jackknife takes the sandwich's place: at 30 the sandwich is a few percent too narrow."""

MAX_STEPS = 60
MAX_STEP = 4.0
"""Longest change of one parameter in one Newton step, in log-odds."""
FAR = 15.0
"""A coefficient beyond this is on its way to infinity: a cell without backtracking, or with nothing else."""


@dataclass(frozen=True, eq=False)
class LogitFit:
    """Coefficients with the deviation that each prompt contributes to them."""

    beta: FloatArray
    """(q,) float64, log-odds; nan where the cells that were run cannot tell."""
    spread: FloatArray
    """(m, q) float64. spread' spread is the covariance; a prompt that says nothing has a row of zeros."""
    alpha: FloatArray
    """(m,) float64. Intercepts; -inf or inf for the prompts left out, nan for prompts without a sentence."""
    n_used: int
    """Prompts that inform beta."""
    n_zero: int
    """Prompts without any backtracking, left out."""
    n_full: int
    """Prompts of which every sentence backtracks, left out."""
    method: str

    def contrast(self, weights: FloatArray) -> Contrast:
        """A linear combination of coefficients; nan when one that it needs is."""
        needed = np.asarray(weights, dtype=np.float64) != 0
        value = float(self.beta[needed] @ weights[needed])
        return Contrast(value, self.spread[:, needed] @ weights[needed], self.n_used, self.method)

    def coefficient(self, index: int) -> Contrast:
        """One coefficient."""
        return Contrast(float(self.beta[index]), self.spread[:, index], self.n_used, self.method)


def fit_logit(y: FloatArray, n: FloatArray, x: FloatArray) -> LogitFit:
    """Fit counts of prompts by cells.

    Args:
        y: (m, c) float. Backtracking sentences.
        n: (m, c) float. Sentences; 0 where a prompt was not run in a cell.
        x: (c, q) float. Covariates of each cell, without intercept.
    Returns:
        The fit. A coefficient is nan when no comparison within a prompt bears on it (its cells are missing, it is
        aliased with another one), or when the data push it to infinity.
    Raises:
        DesignError: shapes differ, or counts are impossible.
    """
    hits, trials, covariates = _checked(y, n, x)
    m, q = hits.shape[0], covariates.shape[1]
    zero, full = hits.sum(axis=1) == 0, hits.sum(axis=1) == trials.sum(axis=1)
    used, there = ~zero & ~full, trials.sum(axis=1) > 0
    alpha = np.where(there, np.where(zero, -np.inf, np.inf), np.nan)
    beta, spread = np.full(q, np.nan), np.full((m, q), np.nan)
    spread[~used] = 0.0
    counts = (int(used.sum()), int((zero & there).sum()), int((full & there & ~zero).sum()))
    columns = estimable(covariates[trials[used].sum(axis=0) > 0])
    kept, known = columns
    method = "cluster jackknife" if counts[0] < JACKKNIFE_BELOW else "prompt fixed effects, CR1 by prompt"
    if counts[0] > 1 and kept.any():
        core = _Newton(hits[None, used], trials[None, used], covariates[:, kept])
        if core.converged[0]:
            alpha[used] = core.alpha[0]
            place = known[kept]
            beta[known] = core.beta[0, place]
            deviations = _jackknife(core) if counts[0] < JACKKNIFE_BELOW else core.sandwich()[0]
            spread[np.ix_(used, known)] = deviations[:, place]
    return LogitFit(beta, spread, alpha, *counts, method)


def fit_many(
    y: FloatArray, n: FloatArray, x: FloatArray, start: tuple[FloatArray, FloatArray] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Coefficients and standard errors (CR1) of many tables with one design: for shuffles and random pairs.

    Args:
        y: (b, m, c) float.
        n: (b, m, c) float.
        x: (c, q) float, of full rank.
        start: (m,) intercepts and (q,) coefficients near those of all tables, where they are known.
    Returns:
        (b, q) coefficients and (b, q) standard errors, nan where a table does not determine them.
    """
    hits, trials = np.asarray(y, dtype=np.float64), np.asarray(n, dtype=np.float64)
    total, most = hits.sum(axis=2), trials.sum(axis=2)
    used = ((total > 0) & (total < most))[..., None]
    core = _Newton(hits * used, trials * used, np.asarray(x, dtype=np.float64), start)
    errors = np.sqrt((core.sandwich() ** 2).sum(axis=1))
    bad = ~core.converged | (used.sum(axis=(1, 2)) < 2)
    core.beta[bad], errors[bad] = np.nan, np.nan
    return core.beta, errors


def intercepts(y: FloatArray, n: FloatArray, x: FloatArray, beta: FloatArray, start: FloatArray) -> FloatArray:
    """The intercept of every prompt at given coefficients.

    Args:
        y: (m, c) float, neither all nor none of the sentences of any prompt.
        n: (m, c) float.
        x: (c, q) float.
        beta: (q,) float.
        start: (m,) float. Intercepts near them.
    """
    alpha, total = start.copy(), y.sum(axis=1)
    for _ in range(MAX_STEPS):
        p = expit(alpha[:, None] + (x @ beta)[None, :])
        step = (total - (n * p).sum(axis=1)) / (n * p * (1 - p)).sum(axis=1)
        alpha += np.clip(step, -MAX_STEP, MAX_STEP)
        if not np.abs(step).max(initial=0.0) > 1e-9:
            break
    return alpha


def estimable(x: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Which columns can be fitted together beside an intercept, and which of them have a meaning of their own.

    Columns are taken in order; one that the earlier ones already span is left out, and every earlier one that it
    is aliased with loses its meaning.

    Args:
        x: (c, q) float. Rows are the cells that were run.
    Returns:
        (q,) bool kept for the fit, and (q,) bool of those whose coefficient is identified.
    """
    q = x.shape[1]
    design = np.column_stack([np.ones(len(x)), x])
    kept, known = np.zeros(q, dtype=bool), np.ones(q, dtype=bool)
    basis = [0]
    for j in range(q):
        if np.linalg.matrix_rank(design[:, [*basis, j + 1]]) > len(basis):
            basis.append(j + 1)
            kept[j] = True
            continue
        weights = np.linalg.lstsq(design[:, basis], design[:, j + 1], rcond=None)[0]
        aliased = [basis[i] - 1 for i in np.flatnonzero(np.abs(weights) > 1e-8) if basis[i] > 0]
        known[[j, *aliased]] = False
    return kept, known & kept


class _Newton:
    """Newton's method on a batch of tables that share their covariates."""

    def __init__(
        self, y: FloatArray, n: FloatArray, x: FloatArray, start: tuple[FloatArray, FloatArray] | None = None
    ) -> None:
        self.y, self.n, self.x = y, n, x
        b, q = len(y), x.shape[1]
        total, most = y.sum(axis=2), n.sum(axis=2)
        alpha, beta = (logit((total + 0.5) / (most + 1.0)), np.zeros(q)) if start is None else start
        self.alpha = np.array(np.broadcast_to(alpha, total.shape))
        self.beta = np.array(np.broadcast_to(beta, (b, q)))
        self.converged = np.zeros(b, dtype=bool)
        self.information = np.zeros((b, q, q))
        self._empty = most == 0
        self._products = (x[:, :, None] * x[:, None, :]).reshape(len(x), q * q)
        with np.errstate(over="ignore", invalid="ignore"):
            self._run()

    def _run(self) -> None:
        for _ in range(MAX_STEPS):
            residual, s, share = self._state()
            gradient = np.einsum("bmc,cq->bq", residual, self.x)
            own = np.where(self._empty, 0.0, residual.sum(axis=2) / share)
            step = self._solve(gradient - np.einsum("bmq,bm->bq", s, own))
            change = own - np.einsum("bmq,bq->bm", s, step) / share
            self.beta += np.clip(step, -MAX_STEP, MAX_STEP)
            self.alpha += np.clip(np.where(self._empty, 0.0, change), -MAX_STEP, MAX_STEP)
            size = np.maximum(np.abs(step).max(axis=1), np.abs(change).max(axis=1))
            self.converged = (size < 1e-9) & (np.abs(self.beta).max(axis=1) < FAR)
            if (self.converged | ~np.isfinite(size) | (np.abs(self.beta).max(axis=1) >= FAR)).all():
                break
        self._residual = self._state()[0]

    def _state(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Residuals (b, m, c), s (b, m, q) and w_i (b, m); sets the information matrix."""
        p = expit(self.alpha[:, :, None] + (self.beta @ self.x.T)[:, None, :])
        mean = self.n * p
        w = mean * (1 - p)
        share = np.where(self._empty, 1.0, w.sum(axis=2))
        s = w @ self.x
        q = self.x.shape[1]
        whole = (w.sum(axis=1) @ self._products).reshape(-1, q, q)
        self.information = whole - np.swapaxes(s, 1, 2) @ (s / share[:, :, None])
        return self.y - mean, s, share

    def _solve(self, right: FloatArray) -> FloatArray:
        """Information^-1 right, nan where the information is singular."""
        scale = np.sqrt(np.maximum(np.diagonal(self.information, axis1=1, axis2=2), 1e-300))
        scaled = self.information / scale[:, :, None] / scale[:, None, :]
        singular = ~np.isfinite(scaled).all(axis=(1, 2))
        scaled[singular] = np.eye(scaled.shape[1])
        singular |= np.linalg.cond(scaled) > 1e11
        scaled[singular] = np.eye(scaled.shape[1])
        wide = right[..., None] if right.ndim == 2 else np.swapaxes(right, 1, 2)
        found = np.linalg.solve(scaled, wide / scale[:, :, None]) / scale[:, :, None]
        found[singular] = np.nan
        return found[..., 0] if right.ndim == 2 else np.swapaxes(found, 1, 2)

    def sandwich(self) -> FloatArray:
        """(b, m, q) deviations whose cross product is the CR1 covariance."""
        clusters = (~self._empty).sum(axis=1)
        scores = self._residual @ self.x
        factor = np.sqrt(clusters / np.maximum(clusters - 1, 1))
        deviations: FloatArray = self._solve(scores) * factor[:, None, None]
        return deviations


def _jackknife(core: _Newton) -> FloatArray:
    """(m, q) deviations whose cross product is the jackknife covariance (CV3)."""
    m = core.y.shape[1]
    keep = (1.0 - np.eye(m))[:, :, None]
    left_out = _Newton(core.y * keep, core.n * keep, core.x, (core.alpha[0], core.beta[0]))
    left_out.beta[~left_out.converged] = np.nan
    return math.sqrt((m - 1) / m) * (core.beta - left_out.beta)


def _checked(y: FloatArray, n: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    hits, trials, covariates = (np.asarray(a, dtype=np.float64) for a in (y, n, x))
    if hits.shape != trials.shape or hits.ndim != 2 or covariates.ndim != 2 or len(covariates) != hits.shape[1]:
        raise DesignError(
            f"a fixed-effect logit needs counts (prompts, cells) and covariates (cells, columns), got {hits.shape}, "
            f"{trials.shape} and {covariates.shape}"
        )
    if not (np.isfinite(hits).all() and np.isfinite(trials).all()) or (hits < 0).any() or (hits > trials).any():
        raise DesignError("counts must be finite with 0 <= backtracks <= sentences; leave unscored rollouts out")
    return hits, trials, covariates
