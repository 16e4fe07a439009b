"""The demo figures and page, drawn once for all tests of the report."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from multidir.report import figures
from multidir.report.page import render_page
from tests.report import demo

Drawing = tuple[Callable[..., figures.Plot], Callable[[], pd.DataFrame]]

DRAWINGS: dict[str, Drawing] = {
    "dose_curves": (figures.dose_curves, demo.dose_cells),
    "transfer_matrix": (figures.transfer_matrix, demo.dose_cells),
    "random_spread": (figures.random_spread, demo.fold_table),
    "offset_grid": (figures.offset_grid, demo.grid_cells),
    "direction_geometry": (figures.direction_geometry, demo.geometry_table),
    "rates_by_cause": (figures.rates_by_cause, demo.cause_table),
    "projection_separation": (figures.projection_separation, demo.auroc_table),
    "projection_histogram": (figures.projection_histogram, demo.score_table),
    "training_curves": (figures.training_curves, demo.curve_table),
    "sparsity_frontier": (figures.sparsity_frontier, demo.dictionary_table),
    "latent_density": (figures.latent_density, demo.latent_table),
    "model_share": (figures.model_share, demo.crosscoder_table),
}


@pytest.fixture(params=DRAWINGS)
def drawing(request: pytest.FixtureRequest) -> Drawing:
    """Each figure function with a function that makes its table."""
    return DRAWINGS[request.param]


@pytest.fixture(params=DRAWINGS)
def plot(request: pytest.FixtureRequest) -> figures.Plot:
    """Each demo figure; drawn once, not to be changed."""
    return drawn(request.param)


def drawn(name: str) -> figures.Plot:
    """The demo figure of this name."""
    return next(plot for plot in demo.all_plots() if plot.name == name)


@pytest.fixture(scope="session")
def page_html() -> str:
    """The demo page with hostile model text in it."""
    return render_page(demo.demo_page(demo.HOSTILE))
