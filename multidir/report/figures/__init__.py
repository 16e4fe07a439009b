"""Every figure of the project: each function takes one table and returns a `Plot`."""

from __future__ import annotations

from multidir.report.figures.ablation import (
    ablation_damage,
    ablation_probes,
    ablation_screen,
    ablation_sets,
    ablation_texts,
)
from multidir.report.figures.agreement import agreement_scores, confusion_matrix
from multidir.report.figures.candidate import candidate_effects, rank_agreement
from multidir.report.figures.combination import held_out_cells, interaction_matrix, moebius_terms
from multidir.report.figures.combination_planes import isoboles, joint_plane
from multidir.report.figures.control import random_spread, rates_by_cause
from multidir.report.figures.density import projection_profile, token_density
from multidir.report.figures.direction import direction_geometry, projection_histogram, projection_separation
from multidir.report.figures.dose import dose_curves, transfer_matrix
from multidir.report.figures.geometry import cosine_matrix, model_agreement, span_angles
from multidir.report.figures.ladder import equivalent_doses
from multidir.report.figures.layer import layer_curves
from multidir.report.figures.lens import logit_lens
from multidir.report.figures.mixture import mixture_contest, mixture_front, mixture_frontier, mixture_texts
from multidir.report.figures.offset import offset_grid
from multidir.report.figures.paper import beside_paper
from multidir.report.figures.power import power_curves
from multidir.report.figures.probe import early_warning, probe_bars, probe_grid
from multidir.report.figures.reasoner import reasoner_loss
from multidir.report.figures.sae import latent_density, model_share, sparsity_frontier, training_curves
from multidir.report.figures.standing import pushes_by_standing
from multidir.report.figures.store import channel_sizes, token_norms
from multidir.report.plot import Plot, save

__all__ = [
    "Plot",
    "ablation_damage",
    "ablation_probes",
    "ablation_screen",
    "ablation_sets",
    "ablation_texts",
    "agreement_scores",
    "beside_paper",
    "candidate_effects",
    "channel_sizes",
    "confusion_matrix",
    "cosine_matrix",
    "direction_geometry",
    "dose_curves",
    "early_warning",
    "equivalent_doses",
    "held_out_cells",
    "interaction_matrix",
    "isoboles",
    "joint_plane",
    "latent_density",
    "layer_curves",
    "logit_lens",
    "mixture_contest",
    "mixture_front",
    "mixture_frontier",
    "mixture_texts",
    "model_agreement",
    "model_share",
    "moebius_terms",
    "offset_grid",
    "power_curves",
    "probe_bars",
    "probe_grid",
    "projection_histogram",
    "projection_profile",
    "projection_separation",
    "pushes_by_standing",
    "random_spread",
    "rank_agreement",
    "rates_by_cause",
    "reasoner_loss",
    "save",
    "span_angles",
    "sparsity_frontier",
    "token_density",
    "token_norms",
    "training_curves",
    "transfer_matrix",
]
