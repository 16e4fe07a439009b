"""A combination study on a table of outcomes: from the file to what a run folder keeps."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Protocol

import pandas as pd

from multidir.errors import FormatError
from multidir.experiments.combination.counting import count, where
from multidir.experiments.combination.group_contrast import group_table
from multidir.experiments.combination.outcomes_table import check_outcomes, direction_names, read_outcomes
from multidir.experiments.combination.prediction import prediction_table
from multidir.experiments.combination.strata import strata_table
from multidir.experiments.combination.tables import (
    cells_table,
    controls_table,
    ladders_table,
    moebius_table,
    pairs_table,
)
from multidir.experiments.combination.verdicts import Cosines, Settings, combine, readings
from multidir.experiments.combination.words import AVERAGE, absent_words, average_sentence, headline, pair_verdict
from multidir.experiments.results import Results
from multidir.store.directions import load_directions


class Science(Settings, Protocol):
    """The settings of analysis/combination."""

    @property
    def split(self) -> str: ...  # noqa: D102


def table_results(outcomes: Path, cosines: Path | None, science: Science) -> tuple[Results, pd.DataFrame]:
    """The results of a table that somebody brings, and the table.

    Args:
        outcomes: `.parquet` or `.csv`.
        cosines: As `read_cosines`, where there are any.
        science: Rules, split, resamples, seed.
    """
    frame = read_outcomes(outcomes)
    known = read_cosines(cosines, direction_names(frame)) if cosines else None
    return combination_results(frame, science, known), frame


def combination_results(frame: pd.DataFrame, science: Science, cosines: Cosines | None = None) -> Results:
    """Every table, every verdict and what a reader must know beside them.

    Args:
        frame: Outcomes, as `outcomes_table` describes them.
        science: Rules, split, resamples, seed.
        cosines: Of the directions, where they are known.
    Raises:
        FormatError: the table is not as described; everything wrong with it is named.
        DesignError: the cells that were run say nothing on any pair, or two directions are one.
    """
    table = check_outcomes(frame, science.split)
    everywhere = count(table)
    target = everywhere.target
    free = where(table)
    counted = everywhere if free.empty else count(free)
    tally = counted.tallies[target]
    found = combine(tally, science, cosines)
    beside = [""] * len(found.pairs)
    if not free.empty:
        beside = [average_sentence(*read) for read in readings(everywhere.tallies[target], science, cosines)]
    rules = science.rules
    tables = {
        "pairs": pairs_table(found, rules),
        "ladders": ladders_table(found),
        "moebius": moebius_table(found),
        "controls": controls_table(found),
        "cells": cells_table(found),
        "strata": strata_table(table, target, science),
        "groups": group_table(counted),
        "predictions": prediction_table(found),
    }
    names = tally.directions
    places = AVERAGE if free.empty else absent_words(len(names))
    verdicts = [
        pair_verdict(pair, (names[pair.evidence.pair[0]], names[pair.evidence.pair[1]]), rules, places, average)
        for pair, average in zip(found.pairs, beside, strict=True)
    ]
    kept = {name: table for name, table in tables.items() if not table.empty}
    return Results(kept, f"{headline(found)} ({places})", verdicts, remarks=(*counted.notes, *found.notes))


def read_cosines(path: Path, names: Iterable[str] = ()) -> dict[tuple[str, str], float]:
    """Cosines of directions from a `.csv` (first, second, cosine) or from a file of directions.

    Args:
        path: `.csv`, or `.safetensors` as train/directions writes it.
        names: Directions of the outcomes table; when given, at least one of their pairs must be there.
    Raises:
        FormatError: columns are missing, a cosine is none, or no pair is in the table.
    """
    if path.suffix == ".safetensors":
        directions = load_directions(path)
        gram = directions.gram()
        found = {
            (directions.names[i], directions.names[j]): float(gram[i, j])
            for i, j in combinations(range(len(directions)), 2)
        }
    else:
        table = pd.read_csv(path)
        if not {"first", "second", "cosine"} <= set(table.columns):
            raise FormatError(f"{path} needs columns first, second and cosine, got {', '.join(table.columns)}")
        cosines = pd.to_numeric(table["cosine"], errors="coerce")
        if not cosines.between(-1, 1).all():
            raise FormatError(f"{path}: every cosine is a number from -1 to 1")
        found = dict(zip(zip(table["first"].map(str), table["second"].map(str), strict=True), cosines, strict=True))
    wanted = set(names)
    if wanted and not any(a in wanted and b in wanted for a, b in found):
        raise FormatError(
            f"{path} holds no pair of the table's directions {', '.join(sorted(wanted))}; "
            "dose columns and directions must have the same names"
        )
    return {pair: cosine for pair, cosine in found.items() if not wanted or wanted.issuperset(pair)}
