from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from sklearn.metrics.pairwise import cosine_similarity

from multidir.errors import DesignError
from multidir.linalg.angles import (
    cosine,
    cosine_matrix,
    effective_rank,
    principal_angles,
    row_cosines,
    singular_shares,
)


def test_cosines_equal_scikit_learn(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(4, 9)), rng.normal(size=(3, 9))
    np.testing.assert_allclose(cosine_matrix(a, b), cosine_similarity(a, b), rtol=1e-12)
    np.testing.assert_allclose(cosine_matrix(torch.from_numpy(a)).numpy(), cosine_similarity(a), atol=1e-12)
    np.testing.assert_allclose(row_cosines(a[:3], b), np.diag(cosine_similarity(a[:3], b)))


def test_cosine_knows_scale_and_sign() -> None:
    assert cosine([1, 0], [1, 1]) == pytest.approx(2**-0.5)
    assert cosine([1, 0], [-3, 0]) == -1


def test_no_direction_no_angle() -> None:
    with pytest.raises(DesignError, match=r"vectors \[1\] are zero or not finite"):
        cosine_matrix(np.array([[1.0, 0], [0, 0], [1, 1]]))
    with pytest.raises(DesignError, match="one width, got 2 and 3"):
        cosine([1, 0], [1, 0, 0])
    assert np.isnan(row_cosines(np.zeros((1, 2)), np.ones((1, 2)))).all()


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_principal_angles_equal_scipy(k: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(k, 7)), rng.normal(size=(m, 7))
    np.testing.assert_allclose(principal_angles(a, b), subspace_angles(a.T, b.T)[::-1], atol=1e-7)


def test_tiny_angles_keep_their_digits() -> None:
    a = np.array([[1.0, 0, 0]])
    assert principal_angles(a, np.array([[1.0, 1e-9, 0]]))[0] == pytest.approx(1e-9, rel=1e-6)
    assert principal_angles(a, a)[0] == 0
    assert principal_angles(a, np.array([[0.0, 0, 2]]))[0] == pytest.approx(np.pi / 2)


def test_dependent_vectors_span_less(rng: np.random.Generator) -> None:
    a = rng.normal(size=(2, 6))
    tripled = np.vstack([a, a.sum(axis=0)])
    np.testing.assert_allclose(principal_angles(tripled, a), [0, 0], atol=1e-7)
    with pytest.raises(DesignError, match="two spans of one width"):
        principal_angles(np.zeros((1, 6)), a)


def test_effective_rank_between_one_and_rank(rng: np.random.Generator) -> None:
    assert effective_rank(np.eye(5)) == pytest.approx(5)
    assert effective_rank(np.outer(rng.normal(size=4), rng.normal(size=9))) == pytest.approx(1)
    a = rng.normal(size=(4, 9))
    assert 1 < effective_rank(a) < 4
    assert singular_shares(a).sum() == pytest.approx(1)
    with pytest.raises(DesignError, match="zero matrix"):
        effective_rank(np.zeros((2, 2)))
