"""What else could make a model backtrack: the paper's five baselines, and three kinds of meaningless directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.cells import by_condition, cells_table
from multidir.experiments.choose import Choice, best_outcomes, find_direction
from multidir.experiments.directions.find import choose_annotator
from multidir.experiments.results import Results
from multidir.experiments.score import BACKTRACKING
from multidir.experiments.settings import Means
from multidir.experiments.steering.baseline_rules import beats_baselines, beats_null
from multidir.experiments.steering.bench import Bench, run_conditions
from multidir.experiments.steering.setup import DoseScience
from multidir.methods.control import random_directions, shuffled_directions
from multidir.methods.diffmeans import TraceSums
from multidir.methods.window_rules import Offsets
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.outcome import Condition, Outcome
from multidir.records.site import Site
from multidir.records.verdict import Verdict
from multidir.store.activations import ActivationStore
from multidir.types import FloatArray, Role

SelfRule = Literal["unit", "scaled"]
MeanFrom = Literal["windows", "tokens"]


class BaselineScience(DoseScience, Protocol):
    """The settings of analysis/baselines."""

    @property
    def role(self) -> Role: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def n_null(self) -> int: ...  # noqa: D102
    @property
    def covariance_rows(self) -> int: ...  # noqa: D102
    @property
    def self_rule(self) -> SelfRule: ...  # noqa: D102
    @property
    def mean_from(self) -> MeanFrom: ...  # noqa: D102
    @property
    def mean_offset(self) -> int: ...  # noqa: D102
    @property
    def means(self) -> Means: ...  # noqa: D102
    @property
    def store_annotator(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Line:
    """One curve: a name in the tables, what kind of thing it is, and the edit of a dose."""

    name: str
    kind: str
    doses: tuple[float, ...]
    edit: Callable[[float], Intervention]


def baselines(
    bench: Bench,
    directions: DirectionSet,
    choice: Choice,
    store: ActivationStore,
    science: BaselineScience,
    file: Path,
) -> Results:
    """Steer the reasoning model with the chosen direction and with everything that should do less.

    Raises:
        DesignError: the set has no direction at the chosen window, or no label to compare with.
    """
    target = find_direction(directions, science.role, choice)
    lines, remarks = make_lines(target, directions, choice, store, science)
    cells: dict[Condition, Intervention | None] = {Condition(bench.lm.role, "none", 0.0): None}
    for line in lines:
        cells |= {Condition(bench.lm.role, line.name, dose): line.edit(dose) for dose in line.doses}
    outcomes = run_conditions(bench, cells, file)
    table = cells_table(outcomes, science.seed, science.draws, science.scoring.count_prompt)
    kinds = {line.name: line.kind for line in lines}
    table["direction_role"] = table["direction"].map(kinds).fillna("none")
    table["site"] = str(target.site)
    verdicts = _verdicts(by_condition(outcomes), table, target, choice, science)
    return Results({"cells": table}, " ".join(v.because for v in verdicts), verdicts, remarks=remarks)


def make_lines(
    target: Direction, directions: DirectionSet, choice: Choice, store: ActivationStore, science: BaselineScience
) -> tuple[list[Line], list[str]]:
    """Every curve of the comparison, and what had to be left out."""
    site, doses = target.site, tuple(sorted({*science.doses, choice.dose}))
    found = [_added(target, science.role, doses)]
    found.append(_added(mean_activation(store, site, science), "mean", doses))
    found.append(Line("noise", "noise", doses, lambda dose: Intervention(Noise(site), Dose(dose), "noise")))
    found.append(Line("self", "self", doses, lambda dose: _amplified(site, dose, science.self_rule)))
    lost = []
    for label in science.labels:
        try:
            found.append(_added(find_direction(directions, science.role, choice, label), "label", doses))
        except DesignError:
            lost.append(label)
    remarks = [f"No direction of {', '.join(lost)} is among the directions, so that it was not compared."] * bool(lost)
    for kind, nulls in null_directions(target, choice, store, science).items():
        found += [_added(item, kind, (choice.dose,)) for item in nulls]
    return found, remarks


def null_directions(
    target: Direction, choice: Choice, store: ActivationStore, science: BaselineScience
) -> dict[str, list[Direction]]:
    """Directions that mean nothing, by kind: uniform, with the activations' covariance, of shuffled labels."""
    rng = np.random.default_rng(science.seed)
    k, annotator = science.n_null, choose_annotator(store, science.store_annotator)
    offsets: Offsets = (choice.offset_lo, choice.offset_hi)
    means = (science.means.mean, science.means.reference)
    return {
        "random": random_directions(k, target, rng),
        "random-cov": random_directions(k, target, rng, centred_rows(store, target.site, science, rng)),
        "shuffled": shuffled_directions(
            k, store, science.role, target.site, annotator, BACKTRACKING, offsets, rng, *means
        ),
    }


def centred_rows(store: ActivationStore, site: Site, science: BaselineScience, rng: np.random.Generator) -> FloatArray:
    """Activations of random tokens, first tokens of texts left out, about their mean; (r, d)."""
    later = np.flatnonzero(store.position > 0)
    rows = np.sort(rng.choice(later, min(science.covariance_rows, len(later)), replace=False))
    values = store.rows(science.role, site, rows).astype(np.float64)
    centred: FloatArray = values - values.mean(axis=0)
    return centred


def mean_activation(store: ActivationStore, site: Site, science: BaselineScience) -> Direction:
    """The mean activation of the reasoning model, by either rule, as a direction.

    `windows`: of the five tokens around an offset before every labelled sentence, as in the paper's code. `tokens`: of
    all tokens but the first of each text.
    """
    role = store.roles[-1]
    source = {"role": role, "from": science.mean_from}
    if science.mean_from == "tokens":
        return Direction.from_vector("mean", np.asarray(store.moments(role, site).mean), site, "mean", source)
    offsets = (science.mean_offset - 1, science.mean_offset + 3)
    annotator = choose_annotator(store, science.store_annotator)
    read = TraceSums.read(store, role, site, annotator, offsets, science.means.skip)
    vector = read.sums.sum(axis=(0, 1)) / read.counts.sum()
    return Direction.from_vector("mean", vector, site, "mean", {**source, "offsets": list(offsets)})


def _added(direction: Direction, kind: str, doses: tuple[float, ...]) -> Line:
    return Line(direction.name, kind, doses, lambda dose: Intervention(direction, Dose(dose)))


def _amplified(site: Site, dose: float, rule: SelfRule) -> Intervention:
    """Along the activation as long as the dose, or the activation times the dose: alike for a token of mean norm."""
    return Intervention(site, Dose(dose, "relative" if rule == "unit" else "activation"), "amplify")


def _verdicts(
    cells: Mapping[Condition, Sequence[Outcome]],
    table: pd.DataFrame,
    target: Direction,
    choice: Choice,
    science: BaselineScience,
) -> list[Verdict]:
    role = str(table["target"].iloc[0])
    mine = cells[Condition(role, target.name, choice.dose)]
    rivals: dict[str, Sequence[Outcome] | None] = {}
    for name, kind in table[["direction", "direction_role"]].drop_duplicates().itertuples(index=False):
        if kind in ("noise", "self", "mean", "label"):
            best = best_outcomes(cells, table[table["direction"] == name], science.scoring.min_coherent)
            rivals[name] = None if best is None else best[1]
    nulls = table[table["direction_role"].isin(("random", "random-cov", "shuffled"))]
    own = table[(table["direction"] == target.name) & (table["dose"] == choice.dose)].iloc[0]
    return [
        beats_baselines(mine, rivals, science.seed, science.draws),
        beats_null(
            own, {str(kind): some["backtrack_share"].to_numpy() for kind, some in nulls.groupby("direction_role")}
        ),
    ]
