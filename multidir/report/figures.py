"""Every figure of the project: each function takes one table and returns a `Plot`."""

from __future__ import annotations

from multidir.report.control_figures import random_spread, rates_by_cause
from multidir.report.direction_figures import direction_geometry, projection_histogram, projection_separation
from multidir.report.dose_figures import dose_curves, transfer_matrix
from multidir.report.offset_figures import offset_grid
from multidir.report.plot import Plot, save
from multidir.report.sae_figures import latent_density, model_share, sparsity_frontier, training_curves

__all__ = [
    "Plot",
    "direction_geometry",
    "dose_curves",
    "latent_density",
    "model_share",
    "offset_grid",
    "projection_histogram",
    "projection_separation",
    "random_spread",
    "rates_by_cause",
    "save",
    "sparsity_frontier",
    "training_curves",
    "transfer_matrix",
]
