"""What a judge says of texts that were written already: its rates in every cell, and how far keywords agree with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from multidir.annotate.base import Annotator, LabelledSpan
from multidir.annotate.lexical import KeywordAnnotator
from multidir.errors import FormatError
from multidir.experiments.cells import by_condition, cells_table
from multidir.experiments.results import Results
from multidir.experiments.score import BACKTRACKING
from multidir.records.outcome import Outcome
from multidir.stats.agreement import score_estimates
from multidir.stats.estimate import percent
from multidir.store.rows import read_rows

REST = "other"
"""Every label but backtracking."""

FACTS = ("direction_role", "site", "offset_lo", "offset_hi", "layer")
"""What a run knows of the directions of its cells, beside their counts."""


class JudgedScience(Protocol):
    """The settings of analysis/judged."""

    @property
    def keywords(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def count_prompt(self) -> bool: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def read_outcomes(run: Path) -> list[Outcome]:
    """The texts of a run.

    Raises:
        FormatError: it wrote none.
    """
    file = run / "outcomes.jsonl"
    if not file.is_file():
        raise FormatError(f"{run} holds no outcomes.jsonl; give a run of a recipe that steers, or of train/reasoner")
    return read_rows(file, Outcome)


def judged(
    run: Path, outcomes: Sequence[Outcome], labels: Sequence[Sequence[LabelledSpan]], science: JudgedScience
) -> Results:
    """Cells by the judge's labels, and the keyword annotator against it at every dose (the paper's Table C.1).

    Args:
        run: where the outcomes are from; its cells say whose direction each one has.
        outcomes: the texts.
        labels: the judge's sentences of each of them.
        science: settings.
    """
    scored = [_scored(outcome, spans) for outcome, spans in zip(outcomes, labels, strict=True)]
    cells = _with_facts(cells_table(scored, science.seed, science.draws, science.count_prompt), run)
    agreement = pd.DataFrame(_agreement(scored, labels, science))
    steered = cells["dose"].ne(0).any() and "direction_role" in cells
    tables = {"cells": cells, "keywords": agreement} | ({"curves": cells} if steered else {})
    return Results(tables, _headline(cells))


def _scored(outcome: Outcome, spans: Sequence[LabelledSpan]) -> Outcome:
    """The outcome with the judge's counts; unscored where it labelled no sentence."""
    known = [span.label for span in spans if span.label is not None]
    if not known:
        return replace(outcome, n_sentences=None, n_backtracks=None)
    return replace(outcome, n_sentences=len(spans), n_backtracks=known.count(BACKTRACKING))


def _with_facts(cells: pd.DataFrame, run: Path) -> pd.DataFrame:
    file = run / "cells.csv"
    if not file.is_file():
        return cells
    there = pd.read_csv(file)
    names = [name for name in FACTS if name in there]
    return cells.merge(there[["direction", *names]].drop_duplicates("direction"), on="direction", how="left")


def _agreement(
    outcomes: Sequence[Outcome], labels: Sequence[Sequence[LabelledSpan]], science: JudgedScience
) -> Iterator[dict[str, Any]]:
    words: Annotator = KeywordAnnotator(science.keywords)
    spans_of = {id(outcome): spans for outcome, spans in zip(outcomes, labels, strict=True)}
    for condition, cell in by_condition(outcomes).items():
        judge, said, prompt = list[str](), list[str](), list[str]()
        for outcome in cell:
            for span in spans_of[id(outcome)]:
                if span.label is not None:
                    judge.append(BACKTRACKING if span.label == BACKTRACKING else REST)
                    hit = any(s.label == BACKTRACKING for s in words.label(outcome.text[span.start : span.end]))
                    said.append(BACKTRACKING if hit else REST)
                    prompt.append(outcome.prompt_id)
        yield {
            "target": condition.target,
            "direction": condition.direction,
            "dose": condition.dose,
            "dose_unit": condition.dose_unit,
            **_counts(judge, said),
            **_scores(judge, said, prompt, science),
        }


def _counts(judge: Sequence[str], said: Sequence[str]) -> dict[str, int]:
    pairs = list(zip(judge, said, strict=True))
    names = {"tp": (BACKTRACKING, BACKTRACKING), "fp": (REST, BACKTRACKING), "fn": (BACKTRACKING, REST)}
    return {name: pairs.count(pair) for name, pair in (names | {"tn": (REST, REST)}).items()}


def _scores(
    judge: Sequence[str], said: Sequence[str], prompt: Sequence[str], science: JudgedScience
) -> Mapping[str, float]:
    if not judge:
        return {}
    rng, clusters = np.random.default_rng(science.seed), np.unique(prompt, return_inverse=True)[1]
    found = score_estimates(judge, said, BACKTRACKING, clusters, rng, science.draws)
    ends = (("", "value"), ("_low", "low"), ("_high", "high"))
    return {f"{name}{end}": getattr(item, of) for name, item in found.items() for end, of in ends}


def _headline(cells: pd.DataFrame) -> str:
    parts = [
        f"{percent(row['backtrack_share'], row['low'], row['high'])} of {target} sentences unsteered"
        for target, some in cells[cells["dose"] == 0].groupby("target")
        for _, row in some.iterrows()
    ]
    top = cells[cells["dose"] != 0].sort_values("backtrack_share", ascending=False, na_position="last").head(1)
    parts += [
        f"at most {row['backtrack_share']:.1%}, of the {row['target']} model's by {row['direction']} at {row['dose']:g}"
        for _, row in top.iterrows()
    ]
    unscored = int(cells["n_unscored"].sum())
    return f"the judge calls backtracking: {'; '.join(parts)}; {unscored} texts unscored"
