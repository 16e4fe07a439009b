"""Predicts cells with three directions and more from singles and pairs, under every way of combining.

    adding          log-odds of the singles add
    pairwise        and those of the pairs' interactions
    Bliss           hazards of the singles add
    one read-out    sum_j 1 / s_j(E) = 1: the level E that all doses share (Loewe), from the ladders

A way of combining that is right predicts cells that it has not seen.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from multidir.experiments.combination.pair_axes import Resampled, resample
from multidir.experiments.combination.verdicts import Combined
from multidir.stats.bootstrap import percentile_estimate
from multidir.stats.ladder import monotone, multiple
from multidir.types import FloatArray

MODELS = {
    "adding": "log-odds add",
    "pairwise": "log-odds and pairs",
    "bliss": "hazards add",
    "read_out": "one read-out",
}
"""Columns of predictions, and what they are called."""
HALVINGS = 30


def prediction_table(found: Combined) -> pd.DataFrame:
    """One row per cell of three directions or more and per way of combining.

    Returns:
        cell, order, model, observed and predicted share, and their gap in log-odds with its interval over prompts.
        Empty when there is no such cell, or when singles, pairs or ladders that it needs were not run.
    """
    rows = []
    for row, cell in zip(found.layout.on, found.layout.factorial, strict=True):
        members = np.flatnonzero(row).tolist()
        if len(members) > 2:
            rows += _predict(found, int(cell), members)
    columns = ["cell", "order", "model", "observed", "predicted", "gap", "gap_low", "gap_high", "n_prompts"]
    return pd.DataFrame(rows, columns=columns)


def _predict(found: Combined, cell: int, members: list[int]) -> list[dict[str, object]]:
    layout, tally = found.layout, found.tally
    singles = [layout.cell(j) for j in members]
    pairs = [layout.cell(i, j) for i, j in combinations(members, 2)]
    ladders = [layout.ladders[j] for j in members]
    if None in singles or None in pairs:
        return []
    rungs = [int(c) for ladder in ladders if ladder is not None for c in ladder.cells]
    cells = [cell, layout.zero, *(c for c in (*singles, *pairs) if c is not None), *rungs]
    n = tally.n[:, cells]
    drawn = resample(tally.y[:, cells] / np.maximum(n, 1), n, found.weights)
    k = len(members)
    odds = np.column_stack([drawn.logit(i) for i in range(2 + k + len(pairs))])
    zero, one, two = odds[:, 1], odds[:, 2 : 2 + k], odds[:, 2 + k :]
    # pairs enter a set of k with weight 1, singles with weight 2 - k, nothing with (k - 1)(k - 2) / 2
    predicted = {
        "adding": one.sum(axis=1) - (k - 1) * zero,
        "pairwise": two.sum(axis=1) - (k - 2) * one.sum(axis=1) + (k - 1) * (k - 2) / 2 * zero,
        "bliss": _from_hazard(np.logaddexp(0, one).sum(axis=1) - (k - 1) * np.logaddexp(0, zero)),
    }
    if all(ladder is not None and ladder.twice > 0 for ladder in ladders):
        predicted["read_out"] = _read_out(found, drawn, members, start=2 + k + len(pairs))
    return [
        {
            "cell": " + ".join(tally.directions[j] for j in members),
            "order": k,
            "model": model,
            "observed": float(expit(odds[0, 0])),
            "predicted": float(expit(level[0])),
            **_gap(odds[:, 0] - level, drawn.n),
        }
        for model, level in predicted.items()
    ]


def _gap(values: FloatArray, n: int) -> dict[str, float]:
    found = percentile_estimate(float(values[0]), values[1:], n)
    return {"gap": found.value, "gap_low": found.low, "gap_high": found.high, "n_prompts": n}


def _from_hazard(hazard: FloatArray) -> FloatArray:
    """Log-odds of a hazard; nan when it is not positive."""
    return np.asarray(logit(np.where(hazard > 0, -np.expm1(-hazard), np.nan)))


def _read_out(found: Combined, drawn: Resampled, members: list[int], start: int) -> FloatArray:
    """The level at which the shares of the doses needed, 1 / s_j, sum to one, by halving.

    Above the top of every ladder it is not known, and stays at the top: a lower bound.
    """
    curves, rungs = [], []
    for j in members:
        ladder = found.layout.ladders[j]
        if ladder is not None:
            curves.append(monotone(*drawn.counts(range(start, start + len(ladder.cells)))))
            rungs.append(ladder.rungs)
            start += len(ladder.cells)
    low = np.maximum.reduce([c[:, 1] for c in curves])
    high = np.maximum.reduce([c[:, -1] for c in curves])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        shares = sum(1 / np.maximum(multiple(middle, c, r).low, 1e-9) for c, r in zip(curves, rungs, strict=True))
        low, high = np.where(shares > 1, middle, low), np.where(shares > 1, high, middle)
    return np.asarray((low + high) / 2)
