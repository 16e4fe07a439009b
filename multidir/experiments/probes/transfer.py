"""Do probes carry over: to categories of problems that they have not seen, and between the two models?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from multidir.experiments.probes.grid import Grid
from multidir.experiments.probes.score import Columns, interval
from multidir.methods.probe_logistic import Solver, fit_logistic
from multidir.records.site import Site
from multidir.stats.bootstrap import both_roles
from multidir.stats.estimate import Estimate
from multidir.stats.ranking import auroc_estimate
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, FloatArray, IntArray

_FEWEST = 5
"""Positives of a category below which its AUROC is not measured."""


def transfer_table(
    store: ActivationStore, grid: Grid, site: Site, offset: int, solver: Solver, draws: int, seed: int
) -> pd.DataFrame:
    """AUROC of logistic probes at one place where they were not trained.

    Returns:
        kind (category | model), role (whose activations trained), to (category, or whose activations are read), auroc
        with its interval, own (AUROC there of a probe trained on the same kind of rows, cross-validated), n_positive.
    """
    found = [
        *_categories(store, grid, site, offset, solver, draws, seed),
        *_models(store, grid, site, offset, draws, seed),
    ]
    return pd.DataFrame(found, columns=["kind", "role", "to", *interval("auroc", _BLANK), "own", "n_positive"])


_BLANK = Estimate(np.nan, np.nan, np.nan, 0, "")


def _categories(
    store: ActivationStore, grid: Grid, site: Site, offset: int, solver: Solver, draws: int, seed: int
) -> list[Columns]:
    rows, found = grid.rows, []
    names = [c for c in range(len(rows.categories)) if _measurable(rows.positive, rows.category == c)]
    if len(np.unique(rows.category)) < 2 or not names:
        return []
    train = np.stack([rows.category != c for c in names], axis=1)
    for role in store.roles:
        fitted = grid.cells[role, site, offset]
        x = rows.read(store, role, site, offset)
        penalty = grid.penalties[[fitted.held.best]]
        scores = fit_logistic(x[None], rows.positive, train, penalty, solver).scores(x)[0, :, :, 0]
        for column, c in enumerate(names):
            mine = rows.category == c
            told = _auroc(scores[mine, column], rows.positive[mine], rows.group[mine], None, draws, seed)
            own = _value(fitted.held.score[mine], rows.positive[mine], rows.group[mine], grid.folds.fold[mine])
            facts: Columns = {"kind": "category", "role": role, "to": rows.categories[c]}
            found.append({**facts, **interval("auroc", told), "own": own, "n_positive": int(rows.positive[mine].sum())})
    return found


def _models(store: ActivationStore, grid: Grid, site: Site, offset: int, draws: int, seed: int) -> list[Columns]:
    """Probes of one model's activations read the other's, fold by fold, so that prompts stay apart too."""
    rows, folds, found = grid.rows, grid.folds, []
    for role in store.roles:
        for other in store.roles:
            if role == other:
                continue
            x = rows.read(store, other, site, offset)
            fitted = grid.cells[role, site, offset]
            scores = fitted.others.scores(x)[0]
            crossed = scores[np.arange(len(rows)), folds.fold, fitted.held.chosen[folds.fold]]
            told = both_roles(_auroc(crossed, rows.positive, rows.group, folds.fold, draws, seed), 0, 1)
            own = _value(grid.cells[other, site, offset].held.score, rows.positive, rows.group, folds.fold)
            facts: Columns = {"kind": "model", "role": role, "to": other}
            found.append({**facts, **interval("auroc", told), "own": own, "n_positive": int(rows.positive.sum())})
    return found


def _measurable(positive: BoolArray, mine: BoolArray) -> bool:
    ones = int(positive[mine].sum())
    return ones >= _FEWEST and ones < int(mine.sum())


def _auroc(
    scores: FloatArray, y: BoolArray, group: IntArray, strata: IntArray | None, draws: int, seed: int
) -> Estimate:
    return auroc_estimate(scores, y, group, np.random.default_rng(seed), draws, strata=strata)


def _value(scores: FloatArray, y: BoolArray, group: IntArray, strata: IntArray) -> float:
    """AUROC without an interval; unknown where no fold has both classes."""
    both = [bool(y[strata == s].any() and not y[strata == s].all()) for s in np.unique(strata)]
    if not any(both):
        return float("nan")
    return _auroc(scores, y, group, strata, 1, 0).value
