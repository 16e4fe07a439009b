"""The demo figures and page, drawn once for all tests of the report."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pandas as pd
import pytest

from multidir.report import figures
from multidir.report.page import render_page
from tests.report import demo, demo_ablation, demo_geometry, demo_mixtures, demo_pairs, demo_probes, demo_study

Drawing = tuple[Callable[..., figures.Plot], Callable[[], pd.DataFrame]]

DRAWINGS: dict[str, Drawing] = {
    "dose_curves": (figures.dose_curves, demo.dose_cells),
    "transfer_matrix": (figures.transfer_matrix, demo.dose_cells),
    "random_spread": (figures.random_spread, demo.fold_table),
    "offset_grid": (figures.offset_grid, demo.grid_cells),
    "cosine_matrix": (figures.cosine_matrix, demo_geometry.cosine_table),
    "model_agreement": (figures.model_agreement, demo_geometry.agreement_table),
    "logit_lens": (figures.logit_lens, demo_geometry.lens_table),
    "token_density": (figures.token_density, demo_geometry.density_table),
    "projection_profile": (figures.projection_profile, demo_geometry.profile_table),
    "beside_paper": (figures.beside_paper, demo_geometry.beside_table),
    "span_angles": (figures.span_angles, demo_geometry.angle_table),
    "direction_geometry": (figures.direction_geometry, demo.geometry_table),
    "rates_by_cause": (figures.rates_by_cause, demo.cause_table),
    "projection_separation": (figures.projection_separation, demo.auroc_table),
    "confusion_matrix": (figures.confusion_matrix, demo.confusion_table),
    "agreement_scores": (figures.agreement_scores, demo.agreement_table),
    "projection_histogram": (figures.projection_histogram, demo.score_table),
    "token_norms": (figures.token_norms, demo.norm_shares),
    "channel_sizes": (figures.channel_sizes, demo.channels),
    "joint_plane": (figures.joint_plane, demo_pairs.plane_table),
    "pushes_by_standing": (figures.pushes_by_standing, demo_pairs.strata_table),
    "mixture_contest": (figures.mixture_contest, demo_mixtures.contest_table),
    "mixture_texts": (figures.mixture_texts, demo_mixtures.texts_table),
    "mixture_front": (figures.mixture_front, demo_mixtures.front_table),
    "mixture_frontier": (figures.mixture_frontier, demo_mixtures.frontier_table),
    "equivalent_doses": (figures.equivalent_doses, demo_pairs.ladder_table),
    "interaction_matrix": (figures.interaction_matrix, demo_pairs.matrix_table),
    "isoboles": (figures.isoboles, demo_pairs.isobole_table),
    "moebius_terms": (figures.moebius_terms, demo_pairs.moebius_table),
    "held_out_cells": (figures.held_out_cells, demo_pairs.prediction_table),
    "power_curves": (figures.power_curves, demo_pairs.power_table),
    "probe_grid": (figures.probe_grid, demo_probes.grid_table),
    "probe_bars": (figures.probe_bars, demo_probes.bars_table),
    "early_warning": (figures.early_warning, demo_probes.warning_table),
    "training_curves": (figures.training_curves, demo.curve_table),
    "sparsity_frontier": (figures.sparsity_frontier, demo.dictionary_table),
    "latent_density": (figures.latent_density, demo.latent_table),
    "model_share": (figures.model_share, demo.crosscoder_table),
    "layer_curves": (figures.layer_curves, demo_study.layer_cells),
    "reasoner_loss": (figures.reasoner_loss, demo_study.reasoner_table),
    "candidate_effects": (figures.candidate_effects, demo_ablation.candidate_table),
    "rank_agreement": (figures.rank_agreement, demo_ablation.agreement_table),
    "ablation_damage": (figures.ablation_damage, demo_ablation.damage_table),
    "ablation_screen": (figures.ablation_screen, demo_ablation.screen_table),
    "ablation_texts": (figures.ablation_texts, demo_ablation.texts_table),
    "ablation_probes": (figures.ablation_probes, demo_ablation.probes_table),
    "ablation_sets": (figures.ablation_sets, demo_ablation.sets_table),
}


@pytest.fixture(params=DRAWINGS)
def drawing(request: pytest.FixtureRequest) -> Drawing:
    """Each figure function with a function that makes its table."""
    return DRAWINGS[request.param]


@pytest.fixture(params=DRAWINGS)
def plot(request: pytest.FixtureRequest) -> figures.Plot:
    """Each demo figure; drawn once, not to be changed."""
    return drawn(request.param)


@cache
def drawn(name: str) -> figures.Plot:
    """The demo figure of this name, or what the function of this name makes of its demo table."""
    on_page = [plot for plot in demo.all_plots() if plot.name == name]
    if on_page:
        return on_page[0]
    draw, table = DRAWINGS[name]
    return draw(table())


@pytest.fixture(scope="session")
def page_html() -> str:
    """The demo page with hostile model text in it."""
    return render_page(demo.demo_page(demo.HOSTILE))
