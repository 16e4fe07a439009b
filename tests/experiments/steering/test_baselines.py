"""Baselines and the layer sweep: what each edit is, which nulls are drawn, and what the rules say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest

from multidir.experiments.choose import Choice
from multidir.experiments.settings import Means
from multidir.experiments.steering.baseline_rules import beats_baselines, beats_null, steers_at_depth
from multidir.experiments.steering.baselines import make_lines, mean_activation
from multidir.methods.diffmeans import TraceSums
from multidir.recipes.find import load_recipe
from multidir.records.direction import DirectionSet
from multidir.records.outcome import Condition, Outcome
from multidir.records.verdict import Status
from multidir.store.activations import ActivationStore
from tests.methods.planted import OFFSETS, planted_store


def outcomes(hits: Sequence[int], sentences: int = 10) -> list[Outcome]:
    """One text per problem with so many backtracking sentences."""
    return [
        Outcome(
            Condition("reasoning", "x", 1.0), f"p{i}", 0, 0, "t", 9, False, 9, 0, sentences, n, 1, 1.0, None, True, 1
        )
        for i, n in enumerate(hits)
    ]


MANY, SOME, FEW = [5, 6, 5, 4, 6, 5, 5, 6], [2, 1, 3, 8, 0, 5, 6, 9], [0, 1, 0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("mine", "rivals", "status"),
    [
        (MANY, {"noise": FEW, "self": FEW}, Status.SUPPORTED),
        (FEW, {"noise": FEW, "self": MANY}, Status.REFUTED),
        (MANY, {"noise": FEW, "self": SOME}, Status.UNDETERMINED),
        (MANY, {"noise": FEW, "mean": None}, Status.SUPPORTED),
        (MANY, {"mean": None}, Status.UNDETERMINED),
    ],
)
def test_every_baseline_must_be_beaten(mine: Any, rivals: dict[str, Any], status: Status) -> None:
    found = beats_baselines(outcomes(mine), {k: v and outcomes(v) for k, v in rivals.items()}, 0, 500)
    assert found.status is status
    assert ("without a coherent dose" in found.because) == (None in rivals.values())


@pytest.mark.parametrize(
    ("share", "low", "nulls", "status"),
    [
        (0.5, 0.4, {"random": [0.1, 0.2], "shuffled": [0.3]}, Status.SUPPORTED),
        (0.5, 0.4, {"random": [0.1, 0.45], "shuffled": [0.3]}, Status.UNDETERMINED),
        (0.2, 0.1, {"random": [0.1, 0.1], "shuffled": [0.3, 0.4, np.nan]}, Status.REFUTED),
        (0.2, 0.1, {"random": [np.nan]}, Status.UNDETERMINED),
    ],
)
def test_nulls_are_compared_by_kind(share: float, low: float, nulls: dict[str, Any], status: Status) -> None:
    own = {"backtrack_share": share, "low": low, "high": 0.9, "n_prompts": 9}
    found = beats_null(own, {k: np.array(v, dtype=float) for k, v in nulls.items()})
    assert found.status is status


def test_the_best_depth_is_decided_by_the_ratio_of_the_best_cells() -> None:
    row = pd.Series({"direction": "d", "dose": 1.0, "backtrack_share": 0.5})
    many, few = (row, outcomes(MANY)), (row, outcomes(FEW))
    for inside, outside, status in (
        (many, few, Status.SUPPORTED),
        (few, many, Status.REFUTED),
        (many, many, Status.UNDETERMINED),
        (None, many, Status.UNDETERMINED),
    ):
        assert steers_at_depth(inside, outside, (0.2, 0.4), 0, 500).status is status


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("planted") / "store")


def science(**changes: Any) -> Any:
    own = get_type_hints(load_recipe("analysis/baselines").config)["science"]
    return replace(own(n_null=3, covariance_rows=100, mean_offset=-5, doses=(0.5, 1.0)), **changes)


def test_every_curve_of_the_comparison_is_there(store: ActivationStore) -> None:
    site = store.sites[0]
    sums = TraceSums.read(store, "base", site, store.annotators[0], OFFSETS)
    directions = DirectionSet([sums.direction(label) for label in sums.present])
    target, choice = sums.direction("backtracking"), Choice(str(site), *OFFSETS, 1.5)
    chosen = science(labels=("deduction", "no such label"))
    lines, remarks = make_lines(target, directions, choice, store, chosen)
    kinds = [line.kind for line in lines]
    assert kinds == ["base", "mean", "noise", "self", "label", *["random"] * 3, *["random-cov"] * 3, *["shuffled"] * 3]
    assert remarks == ["No direction of no such label is among the directions, so that it was not compared."]
    assert {line.doses for line in lines[:5]} == {(0.5, 1.0, 1.5)}
    assert {line.doses for line in lines[5:]} == {(1.5,)}
    assert len({line.name for line in lines}) == len(lines)
    assert [line.edit(0.5).operator for line in lines[:4]] == ["add", "add", "noise", "amplify"]
    for rule, unit in (("unit", "relative"), ("scaled", "activation")):
        lines, _ = make_lines(target, directions, choice, store, science(labels=(), self_rule=rule))
        assert lines[3].edit(0.5).dose.unit == unit


def test_the_mean_is_over_windows_or_over_tokens(store: ActivationStore) -> None:
    role, site = store.roles[-1], store.sites[0]
    every = store.rows(role, site, slice(None)).astype(np.float64)[store.position > 0].mean(axis=0)
    by_tokens = mean_activation(store, site, science(mean_from="tokens"))
    np.testing.assert_allclose(by_tokens.unit * by_tokens.length, every, rtol=1e-6, atol=1e-9)
    windows = store.windows(store.annotators[0], (-6, -2))
    rows = store.rows(role, site, windows.rows().ravel()).astype(np.float64).mean(axis=0)
    by_windows = mean_activation(store, site, science(means=Means(skip="whole")))
    np.testing.assert_allclose(by_windows.unit * by_windows.length, rows, rtol=1e-6, atol=1e-9)
