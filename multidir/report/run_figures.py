"""The figures of each recipe, drawn from the tables in its run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from multidir.experiments.paper import tables as paper_tables
from multidir.report import figures
from multidir.report.plot import Plot, save
from multidir.store.runs import Run

Draw = Callable[[pd.DataFrame], Plot]

_WAITS = partial(figures.dose_curves, measure="keyword", targets=("reasoning",))
"""The measure of the paper's Fig. 4, into the model that it steers."""

_TRAINED: tuple[tuple[str, Draw], ...] = (
    ("curve.csv", figures.training_curves),
    ("dictionaries.csv", figures.sparsity_frontier),
)

FIGURES: dict[str, tuple[tuple[str, Draw], ...]] = {
    "train/reasoner": (("loss.csv", figures.reasoner_loss),),
    "train/candidates": (("candidates.csv", figures.candidate_effects), ("agreement.csv", figures.rank_agreement)),
    "analysis/ablation": (
        ("texts.csv", figures.ablation_texts),
        ("damage.csv", figures.ablation_damage),
        ("sets.csv", figures.ablation_sets),
        ("probes.csv", figures.ablation_probes),
        ("damage.csv", figures.ablation_screen),
    ),
    "train/directions": (("directions.csv", figures.direction_geometry),),
    "analysis/agreement": (
        ("confusion.csv", figures.confusion_matrix),
        ("agreement.csv", figures.agreement_scores),
    ),
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
    "train/probes": (
        ("grid.csv", figures.probe_grid),
        ("probes.csv", figures.probe_bars),
        ("warning.csv", figures.early_warning),
    ),
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
    "analysis/density": (("density.csv", figures.token_density), ("profile.csv", figures.projection_profile)),
    "analysis/paper": (("beside.csv", figures.beside_paper),),
    "analysis/offsets": (("cells.csv", figures.offset_grid),),
    "analysis/baselines": (
        ("cells.csv", _WAITS),
        ("cells.csv", partial(figures.dose_curves, targets=("reasoning",))),
    ),
    "analysis/judged": (("curves.csv", figures.dose_curves),),
    "analysis/layers": (("cells.csv", figures.layer_curves),),
    "analysis/combination": (
        ("pairs.csv", figures.joint_plane),
        ("strata.csv", figures.pushes_by_standing),
        ("ladders.csv", figures.equivalent_doses),
        ("pairs.csv", figures.interaction_matrix),
        ("pairs.csv", figures.isoboles),
        ("moebius.csv", figures.moebius_terms),
        ("predictions.csv", figures.held_out_cells),
    ),
    "train/mixtures": (
        ("contest.csv", figures.mixture_contest),
        ("texts.csv", figures.mixture_texts),
        ("front.csv", figures.mixture_front),
        ("frontier.csv", figures.mixture_frontier),
    ),
    "analysis/power": (("power.csv", figures.power_curves),),
    "analysis/steering": (
        ("cells.csv", figures.dose_curves),
        ("transfer.csv", figures.transfer_matrix),
        ("folds.csv", figures.random_spread),
    ),
}
"""Recipe -> the tables it writes and what draws them; the same functions draw the report. `TABLE?COLUMN=VALUE` are the
rows of a table with this value; where there are none, or a run had no reason to write the table, there is no figure."""


PUBLISHED: dict[str, Callable[[], Plot]] = {
    "analysis/logit-lens": lambda: figures.logit_lens(paper_tables.fig5_scores()),
    "analysis/offsets": lambda: figures.offset_grid(
        paper_tables.fig2_cells(), coherent_at_least=None, measure="keyword"
    ),
    "analysis/baselines": lambda: _WAITS(paper_tables.fig4_cells(), coherent_at_least=None),
}
"""Recipe -> the figure of the paper that it repeats, drawn from its numbers by the function that draws ours."""


def published_plot(recipe: str) -> Plot | None:
    """The paper's figure for a recipe, under a name of its own, where there is one."""
    if recipe not in PUBLISHED:
        return None
    plot = PUBLISHED[recipe]()
    return replace(plot, name=f"{plot.name}_published", title=f"{plot.title} (as published)")


def plots_of(recipe: str, folder: Path) -> list[Plot]:
    """The figures of a finished run of a recipe."""
    return list(_plots(recipe, folder))


def _plots(recipe: str, folder: Path) -> Iterator[Plot]:
    for source, draw in FIGURES.get(recipe, ()):
        name, _, only = source.partition("?")
        if not (folder / name).is_file():
            continue
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
