from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.experiments.cells import cells_table, fold_change
from multidir.records.outcome import Condition
from tests.experiments.worlds import PLAIN, cell, outcome

STEERED = Condition("reasoning", "d", 1.0)


def test_shares_are_sums_over_sums() -> None:
    row = cells_table(cell(STEERED, [1, 3, 0, 0]), seed=0, draws=200).iloc[0]
    assert row["backtrack_share"] == pytest.approx(4 / 40)
    assert row["keyword_share"] == pytest.approx(4 / 160)
    assert row["low"] <= row["backtrack_share"] <= row["high"]
    assert row["prompt_success"] == 0.5


def test_rollouts_of_a_prompt_are_one_cluster() -> None:
    pairs = cell(STEERED, [1, 3]) + cell(STEERED, [1, 3], rollout=1)
    row = cells_table(pairs, seed=0, draws=200).iloc[0]
    assert (row["n_prompts"], row["n_rollouts"]) == (2, 4)


def test_unscored_is_counted_and_never_zero() -> None:
    row = cells_table(cell(STEERED, [2, None, 2, None]), seed=0, draws=200).iloc[0]
    assert row["n_unscored"] == 2
    assert row["backtrack_share"] == pytest.approx(4 / 20)


def test_a_cell_without_any_score_is_unknown() -> None:
    row = cells_table(cell(STEERED, [None, None]), seed=0, draws=200).iloc[0]
    assert np.isnan(row["backtrack_share"])
    assert np.isnan(row["low"])


def test_fold_change_of_equal_cells_is_one_and_of_more_is_more(rng: np.random.Generator) -> None:
    plain = cell(PLAIN, [1, 0, 2, 1, 0, 1])
    assert fold_change(cell(STEERED, [1, 0, 2, 1, 0, 1]), plain, rng, 200).value == pytest.approx(1)
    assert fold_change(cell(STEERED, [4, 3, 5, 4, 3, 4]), plain, rng, 200).low > 1


def test_fold_change_is_unknown_where_nothing_could_be_counted(rng: np.random.Generator) -> None:
    plain, mute = cell(PLAIN, [1, 0, 2]), cell(STEERED, [None, None, None])
    assert np.isnan(fold_change(mute, plain, rng, 50).value)
    assert np.isnan(fold_change(plain, mute, rng, 50).value)


def test_fold_change_needs_the_same_prompts(rng: np.random.Generator) -> None:
    with pytest.raises(DesignError, match="same prompts"):
        fold_change(cell(STEERED, [1, 1]), [outcome(prompt="other")], rng, 50)
