"""The figures of each recipe, drawn from the tables in its run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from multidir.report import figures
from multidir.report.plot import Plot, save
from multidir.store.runs import Run

_TRAINED = (("curve.csv", figures.training_curves), ("dictionaries.csv", figures.sparsity_frontier))

FIGURES: dict[str, tuple[tuple[str, Callable[[pd.DataFrame], Plot]], ...]] = {
    "train/directions": (("directions.csv", figures.direction_geometry),),
    "train/sae": _TRAINED,
    "train/sae-live": _TRAINED,
    "analysis/dictionary": (
        ("dictionaries.csv", figures.sparsity_frontier),
        ("latents.csv", figures.latent_density),
        ("models.csv", figures.model_share),
    ),
    "analysis/causes": (("rates.csv", figures.rates_by_cause),),
    "analysis/separation": (
        ("separation.csv", figures.projection_separation),
        ("scores.csv", figures.projection_histogram),
    ),
    "analysis/offsets": (("cells.csv", figures.offset_grid),),
    "analysis/steering": (
        ("cells.csv", figures.dose_curves),
        ("transfer.csv", figures.transfer_matrix),
        ("folds.csv", figures.random_spread),
    ),
}
"""Recipe -> the tables it writes and what draws them; the same functions draw the report."""


def plots_of(recipe: str, folder: Path) -> list[Plot]:
    """The figures of a finished run of a recipe, for the tables that it wrote."""
    there = ((folder / table, draw) for table, draw in FIGURES.get(recipe, ()))
    return [draw(pd.read_csv(table)) for table, draw in there if table.exists()]


def save_figures(run: Run, recipe: str) -> None:
    """Draw a run's tables into its `figures` folder."""
    for plot in plots_of(recipe, run.path):
        save(plot, run.path / "figures")
