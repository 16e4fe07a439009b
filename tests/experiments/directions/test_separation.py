"""Windows before sentences are told apart where something is planted, and not where nothing is."""

from __future__ import annotations

import pandas as pd
import pytest

from multidir.errors import DesignError
from multidir.experiments.directions.separation import best_separation, separation_table, window_means
from multidir.store.activations import ActivationStore
from tests.methods.planted import ANNOTATOR, N_TRACES, OFFSETS, SITE, planted_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("separation") / "store")


@pytest.fixture(scope="module")
def tables(store: ActivationStore) -> tuple[pd.DataFrame, pd.DataFrame]:
    return separation_table(store, ANNOTATOR, "backtracking", [SITE], [OFFSETS, (1, 2), (-9, -9)], 5, 100, 0)


def test_the_planted_window_is_told_apart_and_the_others_are_not(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = tables[0].set_index(["role", "offset_lo"])
    for role in ("base", "reasoning"):
        assert table.loc[(role, -6), "low"] > 0.8
        assert table.loc[(role, 1), "auroc"] == pytest.approx(0.5, abs=0.12)
        assert table.loc[(role, -9), "auroc"] == pytest.approx(0.5, abs=0.12)
    assert (table["n_traces"] == N_TRACES).all()
    assert "-6..-4 of the" in best_separation(tables[0])


def test_scores_are_those_of_the_best_window(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    scores = tables[1]
    assert set(scores["offset_lo"]) == {-6}
    assert set(scores["role"]) == {"base", "reasoning"}
    mean = scores.groupby(["role", "before_backtracking"])["projection"].mean()
    assert mean["base", True] > mean["base", False] + 1


def test_a_label_that_nobody_has_is_refused(store: ActivationStore) -> None:
    with pytest.raises(DesignError, match="no 'musing' sentence of annotator planted"):
        window_means(store, "base", SITE, ANNOTATOR, "musing", OFFSETS)
