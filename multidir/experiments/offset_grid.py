"""The offset grid: every window's direction at several doses into the reasoning model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.cells import backtrack_counts, cells_table, fold_change, share
from multidir.experiments.choose import Choice, best_coherent, derived, with_direction_facts
from multidir.experiments.results import Results
from multidir.experiments.rules import before_beats_at
from multidir.experiments.settings import Scoring
from multidir.experiments.steering import Arm, Bench, conditions, run_conditions
from multidir.records.direction import DirectionSet
from multidir.records.outcome import Outcome
from multidir.records.verdict import Verdict


class GridScience(Protocol):
    """The settings of analysis/offsets that this module reads."""

    @property
    def role(self) -> str: ...  # noqa: D102
    @property
    def doses(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def scoring(self) -> Scoring: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def offset_grid(bench: Bench, directions: DirectionSet, science: GridScience, file: Path) -> Results:
    """Steer with every window of one role, choose the best, and compare it with the window at the sentence.

    Raises:
        DesignError: the set has no direction of this role, or no steered cell is coherent.
    """
    chosen = derived(directions, science.role)
    cells = conditions(bench.lm.role, [Arm(item, science.doses) for item in chosen])
    outcomes = run_conditions(bench, cells, file)
    counted = cells_table(outcomes, science.seed, science.draws, science.scoring.count_prompt)
    table = with_direction_facts(counted, chosen)
    before = table[table["offset_hi"] < 0]
    best = best_coherent(before, science.scoring.min_coherent)
    choice = Choice(str(best["site"]), int(best["offset_lo"]), int(best["offset_hi"]), float(best["dose"]))
    return Results(
        tables={"cells": table},
        headline=f"best window {choice.window} at {choice.site}, dose {choice.dose:g}x: "
        f"{best['backtrack_share']:.1%} of sentences backtrack (on the problems of the search)",
        verdicts=_against_sentence_start(table, best, outcomes, science),
        choice=choice,
    )


def _against_sentence_start(
    table: pd.DataFrame, best: pd.Series, outcomes: Sequence[Outcome], science: GridScience
) -> list[Verdict]:
    """The best window before the sentence against the best one that reaches into it."""
    at = table[(table["offset_hi"] >= 0) & (table["site"] == best["site"])]
    if at.empty:
        return []
    try:
        rival = best_coherent(at, science.scoring.min_coherent)
    except DesignError:
        return []
    rng = np.random.default_rng(science.seed)
    cells = [
        [o for o in outcomes if (o.condition.direction, o.condition.dose) == (row["direction"], row["dose"])]
        for row in (best, rival)
    ]
    prompts = sorted({o.prompt_id for o in cells[0]})
    counts = [backtrack_counts(cell, prompts) for cell in cells]
    ratio = fold_change(cells[0], cells[1], rng, science.draws)
    shares = [share(count, rng, science.draws, "share of sentences") for count in counts]
    window = f"{int(best['offset_lo'])}..{int(best['offset_hi'])}"
    return [before_beats_at(shares[0], shares[1], ratio, window)]
