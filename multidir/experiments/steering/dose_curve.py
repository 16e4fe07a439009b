"""Dose curves of one window: two origins, two targets, and random directions as the null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from multidir.experiments.cells import backtrack_counts, by_condition, cells_table, fold_change, share
from multidir.experiments.choose import Choice, find_direction, with_direction_facts
from multidir.experiments.results import Results
from multidir.experiments.steering.bench import Arm, Bench, conditions, run_conditions
from multidir.experiments.steering.rules import PaperRules, causes_backtracking, leaves_base_alone
from multidir.experiments.steering.setup import DoseScience
from multidir.methods.control import random_directions
from multidir.records.direction import Direction, DirectionSet
from multidir.records.outcome import Condition, Outcome
from multidir.records.verdict import Verdict
from multidir.stats.estimate import Estimate
from multidir.types import Role


class CurveScience(DoseScience, Protocol):
    """The settings of analysis/steering that this module reads."""

    @property
    def n_random(self) -> int: ...  # noqa: D102
    @property
    def rules(self) -> PaperRules: ...  # noqa: D102


def dose_curves(
    benches: Mapping[Role, Bench], directions: DirectionSet, choice: Choice, science: CurveScience, file: Path
) -> Results:
    """Measure the chosen window afresh on both targets, with its null, and decide the paper's claims."""
    derived = {role: find_direction(directions, role, choice) for role in benches}
    null = random_directions(science.n_random, derived["base"], np.random.default_rng(science.seed))
    doses = tuple(sorted({*science.doses, choice.dose}))
    outcomes: list[Outcome] = []
    for role, bench in benches.items():
        arms = [Arm(direction, doses) for direction in derived.values()]
        if role == "reasoning":
            arms += [Arm(direction, (choice.dose,)) for direction in null]
        outcomes += run_conditions(bench, conditions(role, arms), file)
    counted = cells_table(outcomes, science.seed, science.draws, science.scoring.count_prompt)
    table = with_direction_facts(counted, [*derived.values(), *null])
    cells = by_condition(outcomes)
    folds = folds_table(cells, [*derived.values(), *null], choice.dose, science)
    verdicts = decide(cells, derived["base"], folds, choice, science)
    headline = " ".join(verdict.because for verdict in verdicts[:2])
    transfer = table[table["dose"].isin((0.0, choice.dose)) & (table["direction_role"] != "random")]
    tables = {"cells": table, "transfer": transfer, "folds": folds}
    return Results(tables=tables, headline=headline, verdicts=verdicts)


def folds_table(
    cells: Mapping[Condition, Sequence[Outcome]], directions: Sequence[Direction], dose: float, science: CurveScience
) -> pd.DataFrame:
    """Fold change of the reasoning model's backtracking by each direction at one dose, with its interval."""
    baseline = cells[Condition("reasoning", "none", 0.0)]
    rows = []
    for item in directions:
        cell = Condition("reasoning", item.name, dose)
        fold = fold_change(cells[cell], baseline, np.random.default_rng(science.seed), science.draws)
        role = item.source.get("role", item.method)
        facts = {"direction_role": role, "direction": item.name, "dose": dose, "dose_unit": cell.dose_unit}
        rows.append({**facts, "fold": fold.value, "low": fold.low, "high": fold.high, "n_prompts": fold.n})
    return pd.DataFrame(rows)


def decide(
    cells: Mapping[Condition, Sequence[Outcome]],
    base_direction: Direction,
    folds: pd.DataFrame,
    choice: Choice,
    science: CurveScience,
) -> list[Verdict]:
    """The paper's claims at the dose that the search chose, nothing tuned on these problems."""
    null = folds.loc[folds["direction_role"] == "random", "fold"].dropna().to_numpy()
    alone = cells[Condition("base", base_direction.name, choice.dose)]
    counts = backtrack_counts(alone, sorted({o.prompt_id for o in alone}))
    rng = np.random.default_rng(science.seed)
    steered = share(counts, rng, science.draws, "share of sentences", icc=science.rules.zero_icc)
    return [
        causes_backtracking(_fold_of(folds, "base"), null, science.rules, "base"),
        leaves_base_alone(steered, science.rules),
        causes_backtracking(_fold_of(folds, "reasoning"), null, science.rules, "reasoning"),
    ]


def _fold_of(folds: pd.DataFrame, role: str) -> Estimate:
    row = folds[folds["direction_role"] == role].iloc[0]
    return Estimate(row["fold"], row["low"], row["high"], int(row["n_prompts"]), "cluster bootstrap", "fold")
