"""A combination study on a model pair: doses, known answers, then the directions with all controls, and the verdicts.

The known answers go first. When one of them is not read as what it is, nothing is said about real directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from multidir.config import Compute
from multidir.errors import DesignError
from multidir.experiments.activations import load_special_map
from multidir.experiments.calibration import Calibrated, calibrate, steering_of
from multidir.experiments.combination import PLANTS, check_cosines, plant_control
from multidir.experiments.combination_cells import (
    Steering,
    control_cells,
    factorial_cells,
    own_cells,
    token_directions,
    wait_tokens,
)
from multidir.experiments.combination_design import Size
from multidir.experiments.combination_outcomes import Measuring
from multidir.experiments.combination_run import Science, combination_results
from multidir.experiments.counting import count
from multidir.experiments.labels import annotator_by_name
from multidir.experiments.next_sentences import mapped, sentence_ends
from multidir.experiments.outcomes_table import check_outcomes
from multidir.experiments.results import Results
from multidir.experiments.settings import Scoring
from multidir.experiments.setup import load_bench
from multidir.experiments.steering import Bench
from multidir.experiments.traces import rendered_for, write_traces
from multidir.models.capture import capture
from multidir.models.load import load_model
from multidir.models.special import SpecialMap
from multidir.records.combination import Control, State
from multidir.records.direction import DirectionSet
from multidir.records.pair import Pair
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.records.text import Prompt, Trace
from multidir.stats.bootstrap import draw_weights
from multidir.store.directions import load_directions
from multidir.store.rows import read_rows
from multidir.types import FloatArray

MOST_ROWS = 4096
"""Activations whose covariance random vectors have."""


class StudyScience(Science, Protocol):
    """The settings of analysis/combination on a model pair."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def calibrate(self) -> str: ...  # noqa: D102
    @property
    def grid(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def scope(self) -> str: ...  # noqa: D102
    @property
    def words(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def rollouts(self) -> int: ...  # noqa: D102
    @property
    def max_new_tokens(self) -> int: ...  # noqa: D102
    @property
    def scoring(self) -> Scoring: ...  # noqa: D102
    @property
    def size(self) -> Size: ...  # noqa: D102


class Inputs(Protocol):
    """What a study starts from: the settings of analysis/combination."""

    @property
    def pair(self) -> Pair: ...  # noqa: D102
    @property
    def prompts(self) -> Path: ...  # noqa: D102
    @property
    def directions(self) -> Path: ...  # noqa: D102
    @property
    def science(self) -> StudyScience: ...  # noqa: D102
    @property
    def compute(self) -> Compute: ...  # noqa: D102


def study_results(inputs: Inputs, file: Callable[[str], Path]) -> tuple[Results, pd.DataFrame]:
    """Run it, or go on with it.

    Args:
        inputs: Models, prompts, directions, and everything that changes numbers.
        file: From a name to where it is kept in the run folder.
    Returns:
        Tables and verdicts, and the outcomes table that they come from.
    Raises:
        DesignError: directions that are none, nearly one, or incoherent at every dose; a prompt in two splits.
    """
    science = inputs.science
    directions = chosen(load_directions(inputs.directions / "directions.safetensors"), science.names)
    check_cosines(cosines_of(directions), science.rules)
    bench = load_bench(inputs.pair, "reasoning", inputs.prompts, inputs.directions, science, inputs.compute)
    problems = spread_out(read_rows(inputs.prompts / f"{science.split}.jsonl", Prompt), science.size.problems)
    first = read_rows(inputs.prompts / f"{science.calibrate}.jsonl", Prompt)
    check_splits(science, first, problems)
    scope = Scope.parse(science.scope)
    doses = calibrate(
        replace(bench, prompts=rendered_for(bench.lm, bench.lm, first, SpecialMap()), rollouts=1),
        directions,
        scope,
        science.grid,
        science.rules.least_coherent,
        file("calibration.jsonl"),
    )
    bench = replace(bench, prompts=rendered_for(bench.lm, bench.lm, problems, SpecialMap()))
    traces = write_traces(bench.lm, problems, bench.sampling, 1, science.seed, bench.batch_rows, file("traces.jsonl"))
    measuring = measuring_of(inputs, science, bench, problems, traces, directions, file("outcomes.jsonl").parent)
    planted = measuring.plants()
    answers = known_answers(planted, science)
    remarks = [item.remark for item in doses if item.remark]
    curves = pd.concat([item.curve for item in doses], ignore_index=True)
    if any(answer.state is not State.PASSED for answer in answers):
        return no_verdict(answers, curves, remarks), planted
    steering = steering_of(doses, scope)
    frame = pd.concat([planted, _measured(measuring, inputs, science, directions, steering, traces)], ignore_index=True)
    frame = frame.drop_duplicates(["model", "prompt", "rollout", "control", *_doses(directions)], keep="last")
    return _results(frame, science, directions, doses, len(problems)), frame


def _results(
    frame: pd.DataFrame, science: StudyScience, directions: DirectionSet, doses: Sequence[Calibrated], prompts: int
) -> Results:
    found = combination_results(frame, science, cosines_of(directions))
    less = science.size.reduced(prompts)
    verdicts = [replace(verdict, because=f"{verdict.because} {less}".strip()) for verdict in found.verdicts]
    headline = verdicts[0].claim if len(verdicts) == 1 else found.headline
    curves = pd.concat([item.curve for item in doses], ignore_index=True)
    return replace(
        found,
        tables={**found.tables, "calibration": curves},
        verdicts=verdicts,
        headline=f"{headline} {less}".strip(),
        remarks=(*found.remarks, *(item.remark for item in doses if item.remark)),
    )


def _measured(
    measuring: Measuring,
    inputs: Inputs,
    science: StudyScience,
    directions: DirectionSet,
    steering: Steering,
    traces: Sequence[Trace],
) -> pd.DataFrame:
    """Outcomes of the directions, of their controls, and of the base model."""
    lm = measuring.bench.lm
    factors = {site: _centred(lm_rows) for site, lm_rows in _rows(measuring.bench, traces, directions).items()}
    tokens = token_directions(lm, directions, science.words)
    controls = control_cells(directions, steering, tokens, factors, science.size.n_random, science.seed)
    frames = [measuring.table([*own_cells(directions, steering), *controls])]
    if science.size.base_model:
        other = base_measuring(measuring, inputs, science)
        frames.append(other.table(factorial_cells(directions, steering)))
    return pd.concat(frames, ignore_index=True)


def _rows(bench: Bench, traces: Sequence[Trace], directions: DirectionSet) -> dict[Site, FloatArray]:
    """By site, activations of what was written, evenly spaced."""
    sites = sorted({item.site for item in directions})
    rows: dict[Site, list[FloatArray]] = {site: [] for site in sites}
    for index, found in capture(bench.lm, [trace.token_ids for trace in traces], sites):
        for site in sites:
            rows[site].append(found[site][traces[index].n_prompt :].double().numpy())
    joined = {site: np.concatenate(parts) for site, parts in rows.items()}
    return {site: part[:: max(1, len(part) // MOST_ROWS)] for site, part in joined.items()}


def _centred(rows: FloatArray) -> FloatArray:
    centred: FloatArray = rows - rows.mean(axis=0)
    return centred


def measuring_of(
    inputs: Inputs,
    science: StudyScience,
    bench: Bench,
    problems: Sequence[Prompt],
    traces: Sequence[Trace],
    directions: DirectionSet,
    folder: Path,
) -> Measuring:
    """Everything that measuring on the reasoning model needs."""
    annotator = annotator_by_name(science.scoring.annotator)
    asked = science.size.outcome == "next"
    return Measuring(
        bench=bench,
        names=directions.names,
        categories={problem.id: problem.category for problem in problems},
        tokens=wait_tokens(bench.lm, science.words),
        folder=folder,
        draws=science.size.rollouts,
        batch_tokens=inputs.compute.batch_tokens,
        contexts=sentence_ends(bench.lm, traces, annotator) if asked else None,
    )


def base_measuring(ours: Measuring, inputs: Inputs, science: StudyScience) -> Measuring:
    """The same on the base model: the same texts, with the special tokens that it does not know replaced."""
    lm = load_model(inputs.pair.source("base"), "base", inputs.compute.device, inputs.compute.dtype)
    special = load_special_map(inputs.pair)
    prompts = [(name, special.apply(ids)) for name, ids in ours.bench.prompts]
    return replace(
        ours,
        bench=replace(ours.bench, lm=lm, prompts=prompts),
        tokens=wait_tokens(lm, science.words),
        contexts=None if ours.contexts is None else mapped(ours.contexts, special),
    )


def known_answers(frame: pd.DataFrame, science: StudyScience) -> list[Control]:
    """What the pipeline says of every plant."""
    counted = count(check_outcomes(frame))
    tally = counted.tallies[counted.target]
    weights = draw_weights(len(tally.prompts), science.draws, np.random.default_rng(science.seed))
    return [plant_control(tally, name, weights, science.rules) for name in PLANTS]


def no_verdict(answers: Sequence[Control], curves: pd.DataFrame, remarks: Sequence[str]) -> Results:
    """What is left of a study whose known answers were not read right."""
    table = pd.DataFrame([{"control": a.name, "state": a.state.value, "because": a.because} for a in answers])
    wrong = " ".join(f"{a.name}: {a.because}" for a in answers if a.state is not State.PASSED)
    return Results(
        tables={"controls": table.assign(pairs="known answers"), "calibration": curves},
        headline=f"No verdict on the directions, because a known answer on the same model was not read right. {wrong}",
        remarks=tuple(remarks),
    )


def chosen(directions: DirectionSet, names: Sequence[str]) -> DirectionSet:
    """The named directions, or all of a small set.

    Raises:
        DesignError: fewer than two, or so many that they have to be named.
    """
    found = DirectionSet([directions[name] for name in names]) if names else directions
    if not 2 <= len(found) <= 5:
        raise DesignError(
            f"a combination study is of 2 to 5 directions, got {len(found)}; name them with --names, out of "
            f"{', '.join(directions.names)}"
        )
    return found


def spread_out(problems: Sequence[Prompt], most: int) -> list[Prompt]:
    """So many problems, evenly spaced over the split and so over its categories; all when `most` is 0."""
    if not 0 < most < len(problems):
        return list(problems)
    return [problems[i] for i in np.linspace(0, len(problems) - 1, most).round().astype(int)]


def check_splits(science: StudyScience, first: Sequence[Prompt], problems: Sequence[Prompt]) -> None:
    """Refuse prompts on which doses would be chosen and effects measured.

    Raises:
        DesignError: a prompt is in both splits, or one has none.
    """
    both = {p.id for p in first} & {p.id for p in problems}
    if both or not first or not problems:
        what = f"{len(both)} prompts are in both" if both else "one of them has no prompts"
        raise DesignError(
            f"doses are calibrated on the split {science.calibrate!r} and measured on {science.split!r}, but {what}; "
            "make the splits with data/prompts"
        )


def cosines_of(directions: DirectionSet) -> Mapping[tuple[str, str], float]:
    """Cosine of every pair of directions, by their names."""
    gram, names = directions.gram(), directions.names
    return {(names[i], names[j]): float(gram[i, j]) for i, j in combinations(range(len(names)), 2)}


def _doses(directions: DirectionSet) -> list[str]:
    return [f"dose_{name}" for name in directions.names]
