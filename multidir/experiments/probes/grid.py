"""Logistic probes at every model, site and offset: what is known where, and how early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from multidir.experiments.probes.score import Columns, counts, interval
from multidir.methods.probe_folds import Folds
from multidir.methods.probe_logistic import LinearProbes, Solver, fit_logistic
from multidir.methods.probe_nested import HeldOut, nested
from multidir.methods.probe_rows import ProbeRows
from multidir.progress import each
from multidir.records.site import Site
from multidir.stats.bootstrap import both_roles
from multidir.stats.ranking import auroc_estimate
from multidir.store.activations import ActivationStore
from multidir.types import FloatArray, Role

_VALUES = 1 << 25
"""Values of the cells that are fitted together: they are held in float32 three times."""

Cell = tuple[Role, Site, int]
"""Where a probe reads: model, site, offset from the sentence's first token."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """The probe of one cell."""

    held: HeldOut
    weight: FloatArray
    """(d,) of the probe of all rows, with the setting that was best inside."""
    bias: float
    others: LinearProbes
    """Probes of all training sets and penalties of this cell."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Logistic probes of all cells over the same sentences and folds."""

    cells: dict[Cell, Fitted]
    rows: ProbeRows
    folds: Folds
    penalties: FloatArray

    def table(self, draws: int, seed: int) -> pd.DataFrame:
        """One row per cell with AUROC, its interval and what it rests on."""
        found = []
        for (role, site, offset), fitted in self.cells.items():
            auroc = auroc_estimate(
                fitted.held.score,
                self.rows.positive,
                self.rows.group,
                np.random.default_rng(seed),
                draws,
                strata=self.folds.fold,
            )
            at: Columns = {"role": role, "site": str(site), "layer": site.layer, "offset": offset}
            penalty = float(self.penalties[fitted.held.best])
            found.append(
                {**at, **interval("auroc", both_roles(auroc, 0, 1)), "penalty": penalty, **counts(self.rows, auroc)}
            )
        return pd.DataFrame(found)

    def chosen_inside(self, role: Role) -> tuple[HeldOut, list[Cell]]:
        """Predictions by the cell before the sentence that was best over the inner folds of each outer fold."""
        cells = [cell for cell in self.cells if cell[0] == role and cell[2] < 0]
        inner = np.array([self.cells[cell].held.inner.max(axis=1) for cell in cells])
        picked = inner.argmax(axis=0)
        best = [self.cells[cells[i]].held for i in picked]
        score, log_odds = np.empty(len(self.rows)), np.empty(len(self.rows))
        for f, held in enumerate(best):
            mine = self.folds.fold == f
            score[mine], log_odds[mine] = held.score[mine], held.log_odds[mine]
        return HeldOut(score, log_odds, best[0].base, picked, inner.T), [cells[i] for i in picked]


def fit_grid(
    store: ActivationStore,
    rows: ProbeRows,
    folds: Folds,
    sites: Sequence[Site],
    offsets: Sequence[int],
    penalties: Sequence[float],
    solver: Solver,
) -> Grid:
    """Fit and cross-validate a logistic probe at every model, site and offset.

    Raises:
        DesignError: a row holds nan or infinities.
    """
    strengths = np.asarray(penalties, dtype=np.float64)
    train = folds.training_sets()
    cells: dict[Cell, Fitted] = {}
    parts = list(product(store.roles, sites, _portions(offsets, len(rows) * store.d)))
    for role, site, some in each(parts, "probes", "place"):
        x = np.stack([rows.read(store, role, site, offset) for offset in some])
        probes = fit_logistic(x, rows.positive, train, strengths, solver)
        for b, offset in enumerate(some):
            cells[role, site, offset] = _fitted(x[b], probes, b, rows, folds)
    return Grid(cells, rows, folds, strengths)


def _portions(offsets: Sequence[int], values: int) -> Iterator[Sequence[int]]:
    step = max(1, _VALUES // values)
    for begin in range(0, len(offsets), step):
        yield offsets[begin : begin + step]


def _fitted(x: FloatArray, probes: LinearProbes, b: int, rows: ProbeRows, folds: Folds) -> Fitted:
    one = LinearProbes(probes.weight[b : b + 1], probes.bias[b : b + 1], probes.gradient[b : b + 1])
    held = nested(one.scores(x)[0], rows.positive, folds)
    return Fitted(held, one.weight[0, -1, held.best], float(one.bias[0, -1, held.best]), one)
