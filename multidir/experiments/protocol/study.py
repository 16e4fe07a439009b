"""A combination study on a model pair: doses, known answers, then the directions with all controls, and the verdicts.

The known answers go first. When one of them is not read as what it is, nothing is said about real directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from multidir.experiments.combination.counting import count, where
from multidir.experiments.combination.outcomes_table import check_outcomes
from multidir.experiments.combination.run import combination_results
from multidir.experiments.combination.verdicts import PLANTS, check_cosines, plant_control
from multidir.experiments.corpus.activations import load_special_map
from multidir.experiments.corpus.labels import annotator_by_name
from multidir.experiments.corpus.traces import rendered_for, write_traces
from multidir.experiments.protocol.calibration import calibrate, steering_of
from multidir.experiments.protocol.cells import (
    Steering,
    control_cells,
    factorial_cells,
    own_cells,
    screen_cells,
    token_directions,
    wait_tokens,
)
from multidir.experiments.protocol.inputs import Inputs, StudyScience, check_splits, chosen, cosines_of, spread_out
from multidir.experiments.protocol.next_sentences import mapped, sentence_ends
from multidir.experiments.protocol.outcomes import Measuring
from multidir.experiments.protocol.plants import plant_size
from multidir.experiments.protocol.screen import screen_table
from multidir.experiments.protocol.standing import standing
from multidir.experiments.results import Results
from multidir.experiments.steering.bench import Bench
from multidir.experiments.steering.setup import load_bench
from multidir.models.capture import capture
from multidir.models.load import load_model
from multidir.models.special import SpecialMap
from multidir.records.combination import Control, State
from multidir.records.direction import DirectionSet
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.records.text import Prompt, Trace
from multidir.stats.bootstrap import draw_weights
from multidir.store.directions import load_directions
from multidir.store.rows import read_rows
from multidir.types import FloatArray

MOST_ROWS = 4096
"""Activations whose covariance random vectors have."""


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
    assert inputs.prompts is not None
    assert inputs.directions is not None  # `is_study` saw to both
    directions = chosen(load_directions(inputs.directions / "directions.safetensors"), science)
    check_cosines(cosines_of(directions), science.rules)
    bench = load_bench(inputs.pair, "reasoning", inputs.prompts, inputs.directions, science, inputs.compute)
    problems = spread_out(read_rows(inputs.prompts / f"{science.split}.jsonl", Prompt), science.size.problems)
    first = read_rows(inputs.prompts / f"{science.calibrate}.jsonl", Prompt)
    check_splits(science, first, problems)
    scope = Scope.parse(science.scope)
    on_first, _ = measuring_of(inputs, bench, first, directions, file, "calibration-")
    doses = calibrate(on_first, directions, scope, science.grid, science.rules)
    measuring, traces = measuring_of(inputs, bench, problems, directions, file)
    measuring = replace(measuring, plant_size=plant_size(on_first.begins(), science.rules.outer_margin))
    planted = measuring.plants()
    answers = known_answers(planted, science)
    curves = pd.concat([item.curve for item in doses], ignore_index=True)
    remarks = [item.remark for item in doses if item.remark]
    if measuring.plant_size > 1:
        remarks.append(f"Known answers are planted {measuring.plant_size:g} times as large as usual, to be seen here.")
    if any(answer.state is not State.PASSED for answer in answers):
        return no_verdict(answers, curves, remarks), planted
    steering = steering_of(doses, scope)
    screened = measuring.next_by_cell(screen_cells(directions, steering))
    known = None if measuring.stands is None else measuring.free(range(len(directions)))
    frame = pd.concat([planted, _measured(measuring, inputs, directions, steering, traces)], ignore_index=True)
    key = ["model", "prompt", "rollout", "control", *_doses(directions), *({"standing"} & set(frame.columns))]
    frame = frame.drop_duplicates(key, keep="last")
    found = _results(frame, science, directions, remarks, len(problems))
    tables = {"screen": screen_table(directions.names, screened, known), "calibration": curves}
    return replace(found, tables={**found.tables, **tables}), frame


def _results(
    frame: pd.DataFrame, science: StudyScience, directions: DirectionSet, remarks: Sequence[str], prompts: int
) -> Results:
    found = combination_results(frame, science, cosines_of(directions))
    less = science.size.reduced(prompts)
    verdicts = [replace(verdict, because=f"{verdict.because} {less}".strip()) for verdict in found.verdicts]
    headline = verdicts[0].claim if len(verdicts) == 1 else found.headline
    return replace(found, verdicts=verdicts, headline=f"{headline} {less}".strip(), remarks=(*found.remarks, *remarks))


def _measured(
    measuring: Measuring, inputs: Inputs, directions: DirectionSet, steering: Steering, traces: Sequence[Trace]
) -> pd.DataFrame:
    """Outcomes of the directions, of their controls, and of the base model."""
    lm, science = measuring.bench.lm, inputs.science
    factors = {site: _centred(lm_rows) for site, lm_rows in _rows(measuring.bench, traces, directions).items()}
    tokens = token_directions(lm, directions, science.words)
    controls = control_cells(directions, steering, tokens, factors, science.size.n_random, science.seed)
    frames = [measuring.table([*own_cells(directions, steering), *controls])]
    if science.size.base_model:
        other = base_measuring(measuring, inputs)
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
    bench: Bench,
    problems: Sequence[Prompt],
    directions: DirectionSet,
    file: Callable[[str], Path],
    prefix: str = "",
) -> tuple[Measuring, list[Trace]]:
    """Everything that measuring on the reasoning model needs, and the unsteered texts that it starts from."""
    science, lm = inputs.science, bench.lm
    texts = file(f"{prefix}traces.jsonl")
    traces = write_traces(lm, problems, bench.sampling, 1, science.seed, bench.batch_rows, texts)
    asked = sentence_ends(lm, traces, annotator_by_name(science.scoring.annotator))
    measuring = Measuring(
        bench=replace(bench, prompts=rendered_for(lm, lm, problems, SpecialMap())),
        names=directions.names,
        categories={problem.id: problem.category for problem in problems},
        tokens=wait_tokens(lm, science.words),
        folder=texts.parent,
        asked=asked,
        stands=standing(science.standing, lm, asked, directions),
        size=science.size,
        batch_tokens=inputs.compute.batch_tokens,
        prefix=prefix,
    )
    return measuring, traces


def base_measuring(ours: Measuring, inputs: Inputs) -> Measuring:
    """The same on the base model: the same texts, with the special tokens that it does not know replaced."""
    lm = load_model(inputs.pair.source("base"), "base", inputs.compute.device, inputs.compute.dtype)
    special = load_special_map(inputs.pair)
    prompts = [(name, special.apply(ids)) for name, ids in ours.bench.prompts]
    return replace(
        ours,
        bench=replace(ours.bench, lm=lm, prompts=prompts),
        tokens=wait_tokens(lm, inputs.science.words),
        asked=mapped(ours.asked, special),
    )


def known_answers(frame: pd.DataFrame, science: StudyScience) -> list[Control]:
    """What the pipeline says of every plant."""
    table = check_outcomes(frame)
    free = where(table)
    counted = count(table if free.empty else free)
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


def _doses(directions: DirectionSet) -> list[str]:
    return [f"dose_{name}" for name in directions.names]
