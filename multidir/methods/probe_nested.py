"""Held-out predictions from nested cross-validation: settings and calibration are learned inside the training folds.

For every outer fold f the setting with the best AUROC over the inner folds is taken, its inner held-out scores teach
the calibration  log-odds = a score + b  (Platt's, with his smoothed targets), and fold f is predicted by the probe that
saw neither f nor anything chosen with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from multidir.methods.probe_folds import Folds
from multidir.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What is known of each row by probes that have not seen its group."""

    score: FloatArray
    """(n,) as the probe gives it: comparable within a fold only."""
    log_odds: FloatArray
    """(n,) calibrated, comparable everywhere."""
    base: FloatArray
    """(n,) share of positives in the row's training folds: the prediction without any activation."""
    chosen: IntArray
    """(k,) setting of each outer fold."""
    inner: FloatArray
    """(k, c) mean AUROC of every setting over the inner folds of each outer fold."""

    @property
    def best(self) -> int:
        """The setting with the best mean inner AUROC: what a probe of all rows is fitted with."""
        return int(np.argmax(self.inner.mean(axis=0)))


def nested(scores: FloatArray, positive: BoolArray, folds: Folds) -> HeldOut:
    """Choose, calibrate and predict.

    Args:
        scores: (n, s, c) float. Score of every row by the probe of every training set and setting.
        positive: (n,) bool.
        folds: where the training sets come from.
    """
    inner = inner_aurocs(scores, positive, folds)
    chosen = inner.argmax(axis=1)
    score, log_odds, base = (np.empty(len(positive)) for _ in range(3))
    for f in range(folds.k):
        known, truth = [], []
        for held_by, held in folds.inner(f):
            mine = folds.fold == held
            known.append(scores[mine, held_by, chosen[f]])
            truth.append(positive[mine])
        slope, bias = platt(np.concatenate(known), np.concatenate(truth))
        test = folds.fold == f
        score[test] = scores[test, f, chosen[f]]
        log_odds[test] = slope * score[test] + bias
        base[test] = positive[~test].mean()
    return HeldOut(score, log_odds, base, chosen, inner)


def inner_aurocs(scores: FloatArray, positive: BoolArray, folds: Folds) -> FloatArray:
    """(k, c) mean AUROC of every setting over the inner folds of each outer fold."""
    total = np.zeros((folds.k, scores.shape[2]))
    for i, (f, g) in enumerate(folds.pairs):
        for outer, held in ((f, g), (g, f)):
            mine = folds.fold == held
            total[outer] += column_aurocs(scores[mine, folds.k + i], positive[mine])
    return total / (folds.k - 1)


def column_aurocs(scores: FloatArray, positive: BoolArray) -> FloatArray:
    """(c,) AUROC of every column of (n, c) scores."""
    ones = int(positive.sum())
    ranks = stats.rankdata(scores, axis=0)[positive].sum(axis=0)
    found: FloatArray = (ranks - ones * (ones + 1) / 2) / (ones * (len(positive) - ones))
    return found


def platt(scores: FloatArray, positive: BoolArray) -> tuple[float, float]:
    """Slope and bias of the log-odds; finite even where scores separate the classes.

    A slope below zero becomes zero: a score that misleads within the training folds says nothing, and turning it round
    would invent a probe that nobody fitted.
    """
    ones, n = int(positive.sum()), len(positive)
    target = np.where(positive, (ones + 1) / (ones + 2), 1 / (n - ones + 2))
    centre, width = float(scores.mean()), float(scores.std())
    flat = float(special.logit(target.mean()))
    if width == 0:
        return 0.0, flat
    x = np.stack([(scores - centre) / width, np.ones(n)], axis=1)
    w = np.array([0.0, flat])
    for _ in range(50):
        p = special.expit(x @ w)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (p - target))
        w = w - step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    if w[0] <= 0:
        return 0.0, flat
    return float(w[0] / width), float(w[1] - w[0] * centre / width)
