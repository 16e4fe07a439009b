"""The figures of each recipe, drawn from the tables in its run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from multidir.report import figures
from multidir.report.plot import Plot, save
from multidir.store.runs import Run

Draw = Callable[[pd.DataFrame], Plot]

FIGURES: dict[str, tuple[tuple[str, Draw], ...]] = {
    "train/directions": (("directions.csv", figures.direction_geometry),),
    "analysis/geometry": (
        ("cosines.csv?axis=model", figures.model_agreement),
        ("cosines.csv?axis=label", figures.cosine_matrix),
        ("cosines.csv?axis=category", figures.cosine_matrix),
        ("cosines.csv?axis=window", figures.cosine_matrix),
        ("cosines.csv?axis=site", figures.cosine_matrix),
        ("angles.csv?axis=model", figures.span_angles),
        ("angles.csv?axis=label", figures.span_angles),
        ("angles.csv?axis=category", figures.span_angles),
        ("angles.csv?axis=window", figures.span_angles),
        ("angles.csv?axis=site", figures.span_angles),
    ),
    "analysis/logit-lens": (("scores.csv", figures.logit_lens),),
    "analysis/causes": (("rates.csv", figures.rates_by_cause),),
    "analysis/separation": (
        ("separation.csv", figures.projection_separation),
        ("scores.csv", figures.projection_histogram),
    ),
    "analysis/density": (("density.csv", figures.token_density), ("profile.csv", figures.projection_profile)),
    "analysis/offsets": (("cells.csv", figures.offset_grid),),
    "analysis/steering": (
        ("cells.csv", figures.dose_curves),
        ("transfer.csv", figures.transfer_matrix),
        ("folds.csv", figures.random_spread),
    ),
}
"""Recipe -> the tables it writes and what draws them; the same functions draw the report. `TABLE?COLUMN=VALUE` are the
rows of a table with this value; where there are none, there is no figure."""


def plots_of(recipe: str, folder: Path) -> list[Plot]:
    """The figures of a finished run of a recipe."""
    return list(_plots(recipe, folder))


def _plots(recipe: str, folder: Path) -> Iterator[Plot]:
    for source, draw in FIGURES.get(recipe, ()):
        name, _, only = source.partition("?")
        table = pd.read_csv(folder / name)
        if only:
            column, _, value = only.partition("=")
            table = table[table[column] == value]
            if table.empty:
                continue
        yield draw(table)


def save_figures(run: Run, recipe: str) -> None:
    """Draw a run's tables into its `figures` folder."""
    for plot in plots_of(recipe, run.path):
        save(plot, run.path / "figures")
