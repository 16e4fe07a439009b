"""Cosines and angles where the truth is planted: sites and categories turn the vector by a known amount."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from multidir.errors import ConfigError
from multidir.experiments.directions.geometry import angle_rows, geometry_tables, headline
from multidir.experiments.directions.geometry_pairs import Geometry, Home
from multidir.experiments.paper.claims import models_agree
from multidir.experiments.settings import Means
from multidir.records.site import Site
from multidir.records.verdict import Status
from multidir.store.activations import ActivationStore
from tests.methods.planted import OFFSETS, SITE, planted_store

OTHER = Site(2)
WINDOWS = [OFFSETS, (-3, -1)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("geometry") / "store", (SITE, OTHER), ("verbal", "spatial"))


def geometry(store: ActivationStore, means: Means | None = None, **home: object) -> Geometry:
    place = {"site": SITE, "window": OFFSETS, "label": "backtracking", **home}
    return Geometry(store, Home(**place), WINDOWS, means or Means(), 200, 0)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tables(store: ActivationStore) -> dict[str, pd.DataFrame]:
    return geometry_tables(geometry(store))


def pair(table: pd.DataFrame, axis: str, within: str) -> pd.Series:
    return table[(table["axis"] == axis) & (table["within"] == within)].iloc[0]


def between(row: pd.Series, truth: float) -> bool:
    return bool(row["low"] <= truth <= row["high"])


def test_cosines_between_models_sites_and_categories_are_the_planted_ones(tables: dict[str, pd.DataFrame]) -> None:
    """Half the traces lie along axes 0 and 1, half along 2 and 3; at the second site one place further."""
    table = tables["cosines"]
    assert between(pair(table, "model", "backtracking"), 2**-0.5)
    assert between(pair(table, "site", "base"), 0.0)
    assert between(pair(table, "site", "reasoning"), 0.75)
    category = pair(table, "category", "reasoning")
    assert (category["a"], category["b"]) == ("spatial", "verbal")
    assert abs(category["cosine"]) < 0.2
    assert category["n_traces"] == 20


def test_two_labels_of_three_are_opposite(tables: dict[str, pd.DataFrame]) -> None:
    """In this window only two labels have rows, and pooled vectors that sum to zero are then opposite."""
    row = pair(tables["cosines"], "label", "base")
    assert {row["a"], row["b"]} == {"backtracking", "deduction"}
    assert row["raw_cosine"] == pytest.approx(-1)
    spans = tables["spans"]
    assert (spans["zero_sum"] < 1e-12).all()
    assert (spans["rank"] == spans["labels"] - 1).all()
    assert len(spans) == 2 * (2 + 1)


def test_per_trace_means_and_other_references_do_not_cancel(store: ActivationStore) -> None:
    for means in (Means(mean="trace"), Means(reference="rest")):
        spans = geometry_tables(geometry(store, means))["spans"]
        assert (spans["zero_sum"] > 1e-6).all()


def test_angles_are_those_of_the_planted_spans(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["angles"]
    assert set(table["axis"]) == {"model", "site", "window", "label", "category"}
    model = pair(table, "model", str(SITE))
    assert model["degrees"] == pytest.approx(45, abs=8)
    assert (model["dimensions_a"], model["dimensions_b"]) == (1, 1)
    assert pair(table, "site", "base")["degrees"] == pytest.approx(90, abs=12)
    assert pair(table, "category", "base")["degrees"] == pytest.approx(90, abs=12)
    assert model["noise_degrees"] < 45 < model["random_degrees"]


def test_a_window_without_effect_is_all_noise(tables: dict[str, pd.DataFrame]) -> None:
    row = pair(tables["angles"], "window", "base")
    assert (row["a"], row["b"]) == ("-6..-4", "-3..-1")
    spans = tables["cosines"]
    window = pair(spans, "window", "base")
    assert np.isnan(window["low"]) or window["low"] < 0.5, "what is not there points nowhere"


def test_one_model_and_one_site_leave_those_axes_out(tmp_path) -> None:
    small = planted_store(tmp_path / "store")
    g = Geometry(small, Home(SITE, OFFSETS, "backtracking"), [OFFSETS], Means(), 50, 0)
    tables = geometry_tables(g)
    assert set(tables["cosines"]["axis"]) == {"model", "label"}
    assert {row["axis"] for row in angle_rows(g)} == {"model"}
    assert headline(tables, "backtracking").startswith("the directions of 2 labels span 1 dimensions; the two models'")


@pytest.mark.parametrize("home", [{"site": Site(7)}, {"window": (-9, -8)}])
def test_a_home_that_is_not_there_is_refused(store: ActivationStore, home: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"holds L1.resid_post, L2.resid_post, the windows are -6:-4, -3:-1"):
        geometry_tables(geometry(store, **home))


@pytest.mark.parametrize(
    ("least", "status"), [(0.2, Status.SUPPORTED), (0.95, Status.REFUTED), (2**-0.5, Status.UNDETERMINED)]
)
def test_whether_the_models_agree_depends_on_the_whole_interval(tables, least: float, status: Status) -> None:
    (verdict,) = models_agree(tables["cosines"], "backtracking", least)
    assert verdict.status is status
    assert models_agree(tables["cosines"], "musing", least) == []
