from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from multidir.errors import DesignError
from multidir.methods.subspace import halves_agreement, independent_axes, principal_axes


def causes(rng: np.random.Generator, n: int = 5000, d: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Rows with two causes that are on at random, along directions that are not at right angles."""
    planted = np.eye(d)[:2].copy()
    planted[1, 0] = 0.5
    planted /= np.linalg.norm(planted, axis=1, keepdims=True)
    on = rng.random((n, 2)) < (0.3, 0.2)
    return (4 * on) @ planted + 0.5 * rng.normal(size=(n, d)), planted


def test_principal_axes_equal_those_of_scikit_learn(rng: np.random.Generator) -> None:
    x, _ = causes(rng)
    found, peer = principal_axes(x, 4), PCA(4).fit(x)
    np.testing.assert_allclose(np.abs(np.sum(found.units * peer.components_, axis=1)), 1, atol=1e-9)
    np.testing.assert_allclose(found.shares, peer.explained_variance_ratio_, rtol=1e-9)


def test_about_another_centre_the_shift_is_an_axis(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 6)) + 20 * np.eye(6)[3]
    assert abs(principal_axes(x, 1, np.zeros(6)).units[0, 3]) > 0.99
    assert abs(principal_axes(x, 1).units[0, 3]) < 0.9


def test_independent_axes_find_causes_that_principal_ones_mix(rng: np.random.Generator) -> None:
    x, planted = causes(rng)
    found = independent_axes(x, 4, seed=0)
    assert found.converged
    cosines = found.units @ planted.T
    assert cosines.max(axis=0) == pytest.approx([1, 1], abs=0.04), "with the sign in which the cause is on"
    mixed = np.abs(principal_axes(x, 2).units @ planted.T)
    assert mixed.max(axis=0).min() < 0.94


def test_halves_agree_on_what_is_there_and_not_on_noise(rng: np.random.Generator) -> None:
    x, planted = causes(rng)
    found = independent_axes(x, 6, seed=0)
    halves = [independent_axes(x[i::2], 6, seed=0).units for i in range(2)]
    stable = halves_agreement(found.units, *halves)
    assert all(stable[np.abs(found.units @ p).argmax()] > 0.97 for p in planted)
    assert np.sort(stable)[:3].max() < 0.95, "the other axes are Gaussian noise, which has none of its own"


def test_a_search_that_finds_no_rest_is_told(rng: np.random.Generator) -> None:
    assert not independent_axes(rng.normal(size=(80, 5)), 5, seed=0, rounds=1).converged


def test_rows_without_directions_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DesignError, match="all 5 rows are the same"):
        principal_axes(np.full((5, 3), 7.3), 1)
    with pytest.raises(DesignError, match="shape"):
        principal_axes(np.full((1, 3), 1.0), 1)
    with pytest.raises(DesignError, match="span 2 dimensions"):
        independent_axes(rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6)), 4, seed=0)
