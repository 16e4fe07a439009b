"""Every figure of the project: each function takes one table and returns a `Plot`."""

from __future__ import annotations

from multidir.report.combination_figures import held_out_cells, interaction_matrix, moebius_terms
from multidir.report.combination_planes import isoboles, joint_plane
from multidir.report.control_figures import random_spread, rates_by_cause
from multidir.report.direction_figures import direction_geometry, projection_histogram, projection_separation
from multidir.report.dose_figures import dose_curves, transfer_matrix
from multidir.report.ladder_figures import equivalent_doses
from multidir.report.offset_figures import offset_grid
from multidir.report.plot import Plot, save
from multidir.report.power_figures import power_curves

__all__ = [
    "Plot",
    "direction_geometry",
    "dose_curves",
    "equivalent_doses",
    "held_out_cells",
    "interaction_matrix",
    "isoboles",
    "joint_plane",
    "moebius_terms",
    "offset_grid",
    "power_curves",
    "projection_histogram",
    "projection_separation",
    "random_spread",
    "rates_by_cause",
    "save",
    "transfer_matrix",
]
