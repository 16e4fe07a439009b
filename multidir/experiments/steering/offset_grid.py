"""The offset grid: every window's direction at several doses into the reasoning model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from multidir.experiments.cells import backtrack_counts, by_condition, cells_table, fold_change, share
from multidir.experiments.choose import Choice, best_coherent, best_outcomes, derived, with_direction_facts
from multidir.experiments.results import Results
from multidir.experiments.steering.bench import Arm, Bench, conditions, run_conditions
from multidir.experiments.steering.rules import before_beats_at
from multidir.experiments.steering.setup import DoseScience
from multidir.records.direction import DirectionSet
from multidir.records.outcome import Condition, Outcome
from multidir.records.verdict import Verdict


class GridScience(DoseScience, Protocol):
    """The settings of analysis/offsets that this module reads."""

    @property
    def role(self) -> str: ...  # noqa: D102


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
        verdicts=_against_sentence_start(table, best, by_condition(outcomes), science),
        choice=choice,
    )


def _against_sentence_start(
    table: pd.DataFrame, best: pd.Series, cells: Mapping[Condition, Sequence[Outcome]], science: GridScience
) -> list[Verdict]:
    """The best window before the sentence against the best one that reaches into it."""
    at = table[(table["offset_hi"] >= 0) & (table["site"] == best["site"])]
    rival = best_outcomes(cells, at, science.scoring.min_coherent)
    if rival is None:
        return []
    rng = np.random.default_rng(science.seed)
    mine = cells[Condition(str(best["target"]), str(best["direction"]), float(best["dose"]))]
    prompts = sorted({o.prompt_id for o in mine})
    counts = [backtrack_counts(cell, prompts) for cell in (mine, rival[1])]
    ratio = fold_change(mine, rival[1], rng, science.draws)
    shares = [share(count, rng, science.draws, "share of sentences") for count in counts]
    window = f"{int(best['offset_lo'])}..{int(best['offset_hi'])}"
    return [before_beats_at(shares[0], shares[1], ratio, window)]
