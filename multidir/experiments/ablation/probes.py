"""What can still be read after an erasure: fresh probes on erased rows, in traces that no eraser was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.ablation.arms import Arm
from multidir.experiments.candidates.finders import Sought
from multidir.methods.probe_folds import grouped_folds
from multidir.methods.probe_logistic import fit_logistic
from multidir.stats.bootstrap import both_roles
from multidir.stats.ranking import auroc_estimate
from multidir.types import BoolArray, FloatArray, IntArray


def probes_after(
    sought: Sought,
    arms: Sequence[Arm],
    targets: Mapping[str, BoolArray],
    folds: int,
    penalty: float,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """AUROC of fresh logistic probes, cross-validated by trace, on rows as they are and after each arm.

    Args:
        sought: windows before sentences. Traces of the half that erasers saw are left out.
        arms: what is taken out.
        targets: (w,) what is read, by name.
        folds: parts of the traces.
        penalty: C of the probes.
        draws: bootstrap resamples of traces.
        seed: of folds and resampling.
    Returns:
        target, arm, kind, auroc, low, high, n_positive, n, traces, and edit: the norm of the edit over that of the
        centred rows (Frobenius). Directions that were found in all traces have seen these as well: taking such a
        difference of means out can leave an AUROC below one half. A target with too few traces for the folds has
        unknown AUROC and says so in `note`.
    """
    fresh = ~sought.half[sought.places.trace]
    x, trace = sought.x[sought.role][fresh], sought.places.trace[fresh]
    size = float(np.linalg.norm(x - x.mean(axis=0)))
    changes = [np.zeros_like(x), *(arm.change(x) for arm in arms)]
    names = [("nothing taken out", "none"), *((arm.name, arm.kind) for arm in arms)]
    rows = []
    for target, values in targets.items():
        z = np.asarray(values, dtype=bool)[fresh]
        told = _aurocs(x, changes, z, trace, folds, penalty, draws, seed)
        for (name, kind), change, auroc in zip(names, changes, told, strict=True):
            row = {"target": target, "arm": name, "kind": kind, "edit": float(np.linalg.norm(change)) / size, **auroc}
            rows.append({**row, "n_positive": int(z.sum()), "n": len(z), "traces": int(np.unique(trace).size)})
    return pd.DataFrame(rows)


def _aurocs(
    x: FloatArray,
    changes: Sequence[FloatArray],
    z: BoolArray,
    trace: IntArray,
    folds: int,
    penalty: float,
    draws: int,
    seed: int,
) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    try:
        parts = grouped_folds(z, trace, folds, rng)
    except DesignError:
        note = "too few traces with both classes for the folds"
        return [{"auroc": np.nan, "low": np.nan, "high": np.nan, "note": note}] * len(changes)
    cells = np.stack([x + change for change in changes])
    try:
        train = parts.training_sets()[:, : parts.k]
        scores = fit_logistic(cells, z, train, np.array([penalty])).scores(cells)[..., 0]
    except DesignError as error:
        error.add_note("while probing what is left after an erasure")
        raise
    held_out = np.take_along_axis(scores, parts.fold[None, :, None], axis=2)[..., 0]
    found = [auroc_estimate(each, z, trace, np.random.default_rng(seed), draws) for each in held_out]
    intervals = [both_roles(each, 0, 1) for each in found]
    return [{"auroc": e.value, "low": e.low, "high": e.high, "note": ""} for e in intervals]
