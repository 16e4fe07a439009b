from __future__ import annotations

from functools import reduce
from itertools import combinations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.stats.factorial import GENERATORS, check_rank, design, model_matrix, terms
from multidir.stats.indices import INDICES, index_weights


def resolution(k: int) -> int:
    """Length of the shortest word of the design's defining relation; k + 1 for a full factorial."""
    free = k - len(GENERATORS.get(k, ()))
    letters = [frozenset(word) | {"abcdefghij"[free + i]} for i, word in enumerate(GENERATORS.get(k, ()))]
    lengths = [
        len(reduce(lambda a, b: a ^ b, some))
        for size in range(1, len(letters) + 1)
        for some in combinations(letters, size)
    ]
    return min(lengths, default=k + 1)


@pytest.mark.parametrize(("k", "cells"), [(2, 4), (5, 32), (6, 32), (7, 64), (8, 64), (9, 128), (10, 128)])
def test_designs_determine_mains_and_pairs_and_start_unsteered(k: int, cells: int) -> None:
    on = design(k)
    assert on.shape == (cells, k)
    assert not on[0].any()
    assert len(np.unique(on, axis=0)) == cells
    assert (on.mean(axis=0) == 0.5).all()
    assert resolution(k) >= min(5, k + 1)
    matrix = np.column_stack([np.ones(cells), model_matrix(on, terms(k, 2))])
    assert np.linalg.matrix_rank(matrix) == 1 + k + k * (k - 1) // 2


def test_a_design_of_lower_resolution_is_refused() -> None:
    on = design(5)
    on = np.column_stack([on, on[:, :3].sum(axis=1) % 2])  # word abcf of length 4: pairs alias with each other
    with pytest.raises(DesignError, match="32 cells determine 19 of the model's 22 columns"):
        check_rank(on, terms(6, 2))


@pytest.mark.parametrize("k", [1, 11])
def test_too_few_and_too_many(k: int) -> None:
    with pytest.raises(DesignError, match=f"2 to 10 directions, got {k}"):
        design(k)


def test_saturated_coefficients_are_moebius_dividends() -> None:
    value = np.random.default_rng(0).normal(size=8)
    on, columns = design(3), terms(3, 3)
    beta = np.linalg.solve(np.column_stack([np.ones(8), model_matrix(on, columns)]), value)
    v = {tuple(np.flatnonzero(row)): x for row, x in zip(on, value, strict=True)}
    triple = v[0, 1, 2] - v[0, 1] - v[0, 2] - v[1, 2] + v[0,] + v[1,] + v[2,] - v[()]
    assert beta[-1] == pytest.approx(triple)


@pytest.mark.parametrize(
    ("name", "share"), [("moebius", 0.0), ("banzhaf", 0.3), ("shapley", 0.3), ("shapley_taylor", 0.2)]
)
def test_a_pure_three_way_coefficient_shows_on_its_pairs(name: str, share: float) -> None:
    columns = terms(3, 3)
    moebius = np.array([0, 0, 0, 0, 0, 0, 0.6])
    found = dict(zip(columns, index_weights(name, columns) @ moebius, strict=True))
    assert found[0, 1] == pytest.approx(share)


def test_banzhaf_is_the_effect_averaged_over_the_others() -> None:
    value = np.random.default_rng(1).normal(size=16)
    on, columns = design(4), terms(4, 4)
    moebius = np.linalg.solve(np.column_stack([np.ones(16), model_matrix(on, columns)]), value)[1:]
    found = dict(zip(columns, index_weights("banzhaf", columns) @ moebius, strict=True))
    signs = 2 * on - 1
    assert found[1, 3] == pytest.approx((value * signs[:, 1] * signs[:, 3]).sum() / 4)


def test_shapley_values_share_out_the_whole() -> None:
    columns = terms(4, 4)
    moebius = np.random.default_rng(2).normal(size=15)
    values = (index_weights("shapley", columns) @ moebius)[:4]
    assert values.sum() == pytest.approx(moebius.sum())
    assert set(INDICES) == {"moebius", "banzhaf", "shapley", "shapley_taylor"}
