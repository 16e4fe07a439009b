"""The dose of each direction: where its own effect is clear, not saturated, and leaves room for a dose ladder.

    a = dose at a quarter of the rising limb        f(a) = f(0) + (max f - f(0)) / 4, f monotone, coherent doses only
    a <= largest coherent dose / (2 sqrt 2)         so that the top rung of the ladder is coherent too

A direction that does nothing alone may still act together with another one: it gets the largest dose that leaves room.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.combination_cells import Steering
from multidir.experiments.combination_design import LADDER
from multidir.experiments.steering import Bench, run_conditions
from multidir.records.direction import Direction, DirectionSet
from multidir.records.outcome import Condition, Outcome
from multidir.records.scope import Scope
from multidir.stats.ladder import monotone
from multidir.types import FloatArray

LIMB = 0.25
"""Share of the rising limb, in log-odds, that a direction's own dose reaches."""


@dataclass(frozen=True)
class Calibrated:
    """The dose of one direction, and what it was read from."""

    dose: float
    """Relative to the mean residual norm at its site."""
    curve: pd.DataFrame
    """direction, dose, share, coherent_share, own_dose."""
    remark: str
    """Why the dose is not at a quarter of the limb; empty when it is."""


def calibrate(
    bench: Bench, directions: DirectionSet, scope: Scope, grid: Sequence[float], min_coherent: float, file: Path
) -> list[Calibrated]:
    """The dose of every direction, from texts on the calibration prompts.

    Args:
        bench: Model and prompts; none of them may be among those of the study.
        directions: What is dosed.
        scope: Where it is added.
        grid: Doses to try, relative to the mean residual norm.
        min_coherent: Least share of coherent texts of a dose that may be used.
        file: Outcomes, resumed from there.
    Raises:
        DesignError: no dose of a direction is coherent.
    """
    doses = sorted({dose for dose in grid if dose > 0})
    cells: dict[Condition, Any] = {
        _condition(bench, item, dose): Steering((dose,), scope).cell("", (item,), np.ones(1)).edits or None
        for item in directions
        for dose in (0.0, *doses)
    }
    by_cell: dict[Condition, list[Outcome]] = {cell: [] for cell in cells}
    for outcome in run_conditions(bench, cells, file):
        by_cell[outcome.condition].append(outcome)
    return [
        own_dose(item, doses, [by_cell[_condition(bench, item, dose)] for dose in (0.0, *doses)], min_coherent)
        for item in directions
    ]


def _condition(bench: Bench, item: Direction, dose: float) -> Condition:
    return Condition(bench.lm.role, item.name if dose else "none", dose)


def own_dose(
    item: Direction, doses: Sequence[float], texts: Sequence[Sequence[Outcome]], min_coherent: float
) -> Calibrated:
    """Read the dose of one direction off its curve.

    Args:
        item: The direction.
        doses: (r,) rising, 0 left out.
        texts: (1 + r) outcomes at dose 0 and at each of them.
        min_coherent: As in `calibrate`.
    Raises:
        DesignError: as in `calibrate`.
    """
    y, n, sound = (np.array(values, dtype=np.float64) for values in zip(*map(_counted, texts), strict=True))
    usable = int(np.logical_and.accumulate(sound[1:] >= min_coherent).sum())
    if usable == 0:
        raise DesignError(
            f"{item.name}: at its smallest dose {doses[0]:g} only {sound[1]:.0%} of texts are coherent, "
            f"{min_coherent:.0%} are needed; give smaller doses with --grid"
        )
    curve = monotone(y[None, : usable + 1], n[None, : usable + 1])[0]
    most = float(f"{doses[usable - 1] / LADDER[-1]:.3g}")
    if curve[-1] - curve[0] < 2 * _error(y, n, usable):
        remark = (
            f"Alone {item.name} does not clearly make the behaviour more frequent, up to dose {doses[usable - 1]:g}."
        )
        chosen = most
    else:
        at = _reach(curve, np.array([0.0, *doses[:usable]]), curve[0] + LIMB * (curve[-1] - curve[0]))
        remark = f"{item.name} is kept at {most:g}, so that the top rung is coherent." if at > most else ""
        chosen = min(float(f"{at:.3g}"), most)
    table = pd.DataFrame(
        {"direction": item.name, "dose": [0.0, *doses], "share": y / n, "coherent_share": sound, "own_dose": chosen}
    )
    return Calibrated(chosen, table, remark)


def _counted(outcomes: Sequence[Outcome]) -> tuple[float, float, float]:
    """Backtracks, sentences, and the share of coherent texts; what was not scored is left out."""
    scored = [o for o in outcomes if o.n_sentences]
    sound = [o for o in outcomes if o.coherent is not None]
    return (
        sum(o.n_backtracks or 0 for o in scored),
        max(sum(o.n_sentences or 0 for o in scored), 1),
        float(np.mean([o.coherent for o in sound])) if sound else 0.0,
    )


def _error(y: FloatArray, n: FloatArray, last: int) -> float:
    """Standard error of the rise in log-odds, sentences taken as independent; half a backtrack is added to each."""
    return math.sqrt(sum(1 / (y[i] + 0.5) + 1 / (n[i] - y[i] + 0.5) for i in (0, last)))


def _reach(curve: FloatArray, doses: FloatArray, level: float) -> float:
    """The dose at which a rising curve first reaches a level, straight between doses."""
    right = int(np.argmax(curve >= level))
    low, high = curve[right - 1], curve[right]
    return float(doses[right - 1] + (doses[right] - doses[right - 1]) * (level - low) / (high - low))


def steering_of(found: Sequence[Calibrated], scope: Scope) -> Steering:
    """Own doses as the cells of the study take them."""
    return Steering(tuple(item.dose for item in found), scope)
