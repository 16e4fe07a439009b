"""Every figure of the project: each function takes one table and returns a `Plot`."""

from __future__ import annotations

from multidir.report.ablation_figures import (
    ablation_damage,
    ablation_probes,
    ablation_screen,
    ablation_sets,
    ablation_texts,
)
from multidir.report.agreement_figures import agreement_scores, confusion_matrix
from multidir.report.candidate_figures import candidate_effects, rank_agreement
from multidir.report.combination_figures import held_out_cells, interaction_matrix, moebius_terms
from multidir.report.combination_planes import isoboles, joint_plane
from multidir.report.control_figures import random_spread, rates_by_cause
from multidir.report.density_figures import projection_profile, token_density
from multidir.report.direction_figures import direction_geometry, projection_histogram, projection_separation
from multidir.report.dose_figures import dose_curves, transfer_matrix
from multidir.report.geometry_figures import cosine_matrix, model_agreement, span_angles
from multidir.report.ladder_figures import equivalent_doses
from multidir.report.layer_figures import layer_curves
from multidir.report.lens_figures import logit_lens
from multidir.report.mixture_figures import mixture_contest, mixture_front, mixture_frontier, mixture_texts
from multidir.report.offset_figures import offset_grid
from multidir.report.paper_figures import beside_paper
from multidir.report.plot import Plot, save
from multidir.report.power_figures import power_curves
from multidir.report.probe_figures import early_warning, probe_bars, probe_grid
from multidir.report.reasoner_figures import reasoner_loss
from multidir.report.sae_figures import latent_density, model_share, sparsity_frontier, training_curves
from multidir.report.standing_figures import pushes_by_standing
from multidir.report.store_figures import channel_sizes, token_norms

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
