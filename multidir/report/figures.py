"""Every figure of the project: each function takes one table and returns a `Plot`."""

from __future__ import annotations

from multidir.report.agreement_figures import agreement_scores, confusion_matrix
from multidir.report.control_figures import random_spread, rates_by_cause
from multidir.report.direction_figures import direction_geometry, projection_histogram, projection_separation
from multidir.report.dose_figures import dose_curves, transfer_matrix
from multidir.report.offset_figures import offset_grid
from multidir.report.plot import Plot, save
from multidir.report.store_figures import channel_sizes, token_norms

__all__ = [
    "Plot",
    "agreement_scores",
    "channel_sizes",
    "confusion_matrix",
    "direction_geometry",
    "dose_curves",
    "offset_grid",
    "projection_histogram",
    "projection_separation",
    "random_spread",
    "rates_by_cause",
    "save",
    "token_norms",
    "transfer_matrix",
]
