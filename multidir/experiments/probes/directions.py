"""Normals of probes as directions: unit vectors with the distance of the class means along them as their length."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from multidir.experiments.probes.table import Place
from multidir.methods.probe_folds import Folds
from multidir.methods.probe_rows import ProbeRows
from multidir.records.direction import Direction
from multidir.stats.ranking import auroc, weighted_auroc
from multidir.types import FloatArray


def normals(at: Place, found: Mapping[str, FloatArray], annotator: str, label: str) -> list[Direction]:
    """Every kind of probe at one place, and the logistic probes at the same offset of the other sites.

    A probe that uses no channel, as a strong L1 penalty may have it, points nowhere and is left out.

    Args:
        at: the place.
        found: (d,) weights of all rows by kind.
        annotator: whose labels were learned.
        label: the positive class.
    """
    made = [_direction(at, kind, weight, annotator, label) for kind, weight in found.items() if weight.any()]
    for (role, site, offset), fitted in at.grid.cells.items():
        if role == at.role and offset == at.offset and site != at.site:
            other = Place(at.store, at.grid, role, site, offset, at.solver)
            made.append(_direction(other, "logistic", fitted.weight, annotator, label))
    return made


def _direction(at: Place, kind: str, weight: FloatArray, annotator: str, label: str) -> Direction:
    rows, folds, held = at.grid.rows, at.grid.folds, at.grid.cells[at.role, at.site, at.offset].held
    unit = weight / np.linalg.norm(weight)
    along = at.x() @ unit
    length = abs(float(along[rows.positive].mean() - along[~rows.positive].mean()))
    source = {
        "role": at.role,
        "label": label,
        "offsets": [at.offset, at.offset],
        "annotator": annotator,
        "kind": kind,
        "store": at.store.content_hash,
        "rows": int(rows.positive.sum()),
        "traces": len(np.unique(rows.trace[rows.positive])),
        "auroc_of_all_rows": auroc(along, rows.positive),
    }
    if kind == "logistic":
        source |= {"auroc_held_out": _held_out(held.score, rows, folds), "penalty": float(at.grid.penalties[held.best])}
    return Direction(f"{at.role}/probe-{kind} {at.site} {at.offset}", unit, length, at.site, "probe", source)


def _held_out(scores: FloatArray, rows: ProbeRows, folds: Folds) -> float:
    statistic, m = weighted_auroc(scores, rows.positive, rows.group, folds.fold)
    return float(statistic(np.ones((1, m)))[0])
