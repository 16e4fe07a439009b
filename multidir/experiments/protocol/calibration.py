"""The dose of each direction: as strong as its ladder can stay coherent and rising, and strong enough to be seen.

    a = top / (2 sqrt 2)        top: the coherent dose at which its effect is largest

so that the ladder a, sqrt2 a, 2a, 2 sqrt2 a ends where the direction acts most. Of a curve with a threshold, a then
lies at about a quarter of the rising limb. An effect is *seen* at a when the log-odds rise by at least the margin
within which interactions are ignored, and by two standard errors; where it is not, the smallest larger dose is taken at
which it is, if the top rung is coherent there too. Where there is none, that is said.

Effects are read from the sentence after fixed texts, where the direction does not stand in the text already: pushing
what is there is no dose of anything. Coherence is that of whole texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from multidir.errors import DesignError
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.protocol.cells import Steering, StudyCell
from multidir.experiments.protocol.design import LADDER
from multidir.experiments.protocol.next_sentences import NextSentences
from multidir.experiments.protocol.outcomes import Measuring
from multidir.records.direction import Direction, DirectionSet
from multidir.records.outcome import Outcome
from multidir.records.scope import Scope
from multidir.stats.bootstrap import draw_weights
from multidir.types import FloatArray

DRAWS = 500
"""Resamples of prompts for the error of an effect."""
ERRORS = 2.0
"""Standard errors above which an effect is seen."""


@dataclass(frozen=True)
class Calibrated:
    """The dose of one direction, and what it was read from."""

    dose: float
    """Relative to the mean residual norm at its site."""
    curve: pd.DataFrame
    """direction, dose, share (of next sentences), lift (log-odds over dose 0), error, coherent_share, own_dose."""
    remark: str
    """Where the dose is not that of the rule, why; empty when it is."""


def calibrate(
    measuring: Measuring, directions: DirectionSet, scope: Scope, grid: Sequence[float], rules: CombinationRules
) -> list[Calibrated]:
    """The dose of every direction, on the calibration prompts.

    Args:
        measuring: On these prompts; none of them may be among those of the study.
        directions: What is dosed.
        scope: Where it is added.
        grid: Doses to try, relative to the mean residual norm.
        rules: What is seen, and what is coherent.
    Raises:
        DesignError: no dose of a direction is coherent, or it stands everywhere.
    """
    doses = sorted({dose for dose in grid if dose > 0})
    plain = StudyCell("", (0.0,) * len(directions))
    cells = [[plain, *(_cell(directions, j, dose, scope) for dose in doses)] for j in range(len(directions))]
    every = [plain, *(cell for row in cells for cell in row[1:])]
    odds, texts = measuring.next_by_cell(every), measuring.texts_by_cell(every)
    found = []
    for j, (item, row) in enumerate(zip(directions, cells, strict=True)):
        shares = _shares([odds[cell.doses] for cell in row], measuring.free([j]), item)
        sound = [_coherent(texts[cell.doses]) for cell in row]
        found.append(own_dose(item, doses, shares, sound, rules))
    return found


def _cell(directions: DirectionSet, j: int, dose: float, scope: Scope) -> StudyCell:
    """One direction at a dose of the grid; here a multiple is the dose itself."""
    return Steering((1.0,) * len(directions), scope).cell("", tuple(directions), dose * np.eye(len(directions))[j])


def _shares(cells: Sequence[Sequence[NextSentences]], places: Mapping[str, Any], item: Direction) -> FloatArray:
    """(1 + r, m, 2) by dose and prompt, where the direction does not stand: summed probabilities, number of places."""
    found = [
        [(expit(np.array(row.log_odds))[at].sum(), at.sum()) for row in rows if (at := places[row.prompt_id]).any()]
        for rows in cells
    ]
    if not found[0]:
        raise DesignError(
            f"{item.name} stands in every text where a sentence begins, so that there is nowhere to push it"
        )
    return np.asarray(found, dtype=np.float64)


def _coherent(texts: Sequence[Outcome]) -> float:
    known = [o.coherent for o in texts if o.coherent is not None]
    return float(np.mean(known)) if known else 0.0


def own_dose(
    item: Direction, doses: Sequence[float], shares: FloatArray, coherent: Sequence[float], rules: CombinationRules
) -> Calibrated:
    """Read the dose of one direction off its curve.

    Args:
        item: The direction.
        doses: (r,) rising, 0 left out.
        shares: (1 + r, m, 2) by dose, from 0 on, and prompt: sentences that would backtrack, and sentences.
        coherent: (1 + r,) share of coherent texts.
        rules: What is seen, and what is coherent.
    Raises:
        DesignError: no dose is coherent.
    """
    usable = int(np.logical_and.accumulate(np.array(coherent[1:]) >= rules.least_coherent).sum())
    if usable == 0:
        raise DesignError(
            f"{item.name}: at its smallest dose {doses[0]:g} only {coherent[1]:.0%} of texts are coherent, "
            f"{rules.least_coherent:.0%} are needed; give smaller doses with --grid"
        )
    curve = _Curve.of(doses, shares)
    top = int(np.argmax(curve.lift[1 : usable + 1])) + 1
    least, most = curve.doses[top] / LADDER[-1], curve.doses[usable] / LADDER[-1]
    chosen = next((dose for dose in (least, *_between(least, most)) if curve.seen(dose, rules)), math.nan)
    remark = ""
    if math.isnan(chosen):
        chosen = most
        remark = (
            f"Alone {item.name} has no visible effect at any dose that leaves room for a ladder: at {most:.3g} the "
            f"log-odds change by {curve.at(most):+.2f}, {rules.outer_margin:+.2g} and {ERRORS:g} errors are needed."
        )
    elif chosen > least:
        remark = (
            f"{item.name} is raised from {least:.3g} to {chosen:.3g} to be seen; its ladder goes past its best dose."
        )
    chosen = float(f"{chosen:.3g}")
    table = {
        "direction": item.name,
        "dose": curve.doses,
        "share": curve.share,
        "lift": curve.lift,
        "error": curve.error,
    }
    return Calibrated(chosen, pd.DataFrame({**table, "coherent_share": coherent, "own_dose": chosen}), remark)


def _between(least: float, most: float) -> FloatArray:
    """Doses above the smallest one up to the largest, in steps of a tenth."""
    steps = least * 1.1 ** np.arange(1, 200)
    return np.asarray([*steps[steps < most], most] if most > least else [])


@dataclass(frozen=True)
class _Curve:
    """The effect of one direction alone, by dose from 0 on; between doses it goes straight."""

    doses: FloatArray
    share: FloatArray
    lift: FloatArray
    error: FloatArray

    @classmethod
    def of(cls, doses: Sequence[float], shares: FloatArray) -> _Curve:
        weights = draw_weights(shares.shape[1], DRAWS, np.random.default_rng(0))
        y, n = np.moveaxis(np.einsum("dm,rmc->drc", np.vstack([np.ones((1, shares.shape[1])), weights]), shares), -1, 0)
        odds = logit((y + 1e-9) / (n + 2e-9))
        lift = odds - odds[:, :1]
        return cls(np.array([0.0, *doses]), y[0] / n[0], lift[0], np.std(lift[1:], axis=0))

    def at(self, dose: float) -> float:
        return float(np.interp(dose, self.doses, self.lift))

    def seen(self, dose: float, rules: CombinationRules) -> bool:
        error = float(np.interp(dose, self.doses, self.error))
        return self.at(dose) >= rules.outer_margin and self.at(dose) > ERRORS * error


def steering_of(found: Sequence[Calibrated], scope: Scope) -> Steering:
    """Own doses as the cells of the study take them."""
    return Steering(tuple(item.dose for item in found), scope)
