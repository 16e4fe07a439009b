from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import polar

from multidir.errors import DesignError
from multidir.linalg.basis import loewdin, norm_matched, orthonormal_basis, project_out, random_units


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_basis_spans_the_rows(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(k, 8))
    a = np.vstack([a, a.sum(axis=0), np.zeros(8)])
    q = orthonormal_basis(a)
    assert q.shape == (k, 8)
    np.testing.assert_allclose(q @ q.T, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(a @ q.T @ q, a, atol=1e-9)


def test_rank_is_cut_at_the_precision_of_the_input(rng: np.random.Generator) -> None:
    exact = rng.normal(size=(5, 2000))
    stored = np.vstack([exact, exact.sum(axis=0)]).astype(np.float32)
    assert len(orthonormal_basis(stored)) == 5
    assert len(orthonormal_basis(stored.astype(np.float64))) == 6, "rounding of float32 is a dimension in float64"
    assert len(orthonormal_basis(stored.astype(np.float64), rtol=1e-5)) == 5
    assert len(orthonormal_basis(torch.from_numpy(stored))) == 5
    assert orthonormal_basis(np.zeros((2, 3))).shape == (0, 3)


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_loewdin_is_the_nearest_orthonormal_set(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(k, 8))
    q = loewdin(a)
    np.testing.assert_allclose(q @ q.T, np.eye(k), atol=1e-9)
    np.testing.assert_allclose(q, polar(a, side="left")[0], atol=1e-8)
    np.testing.assert_allclose(loewdin(q), q, atol=1e-9)
    order = rng.permutation(k)
    np.testing.assert_allclose(loewdin(a[order]), q[order], atol=1e-8)
    other = np.linalg.qr(rng.normal(size=(8, k)))[0].T
    assert np.linalg.norm(q - a) <= np.linalg.norm(other - a) + 1e-9


def test_dependent_rows_have_no_symmetric_orthogonalisation() -> None:
    with pytest.raises(DesignError, match="3 vectors span only 2 dimensions; drop 1"):
        loewdin(np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0]]))
    with pytest.raises(DesignError, match=r"shape \(3,\)"):
        loewdin(np.ones(3))


def test_projected_out_is_gone_and_the_rest_stays(rng: np.random.Generator) -> None:
    basis = orthonormal_basis(rng.normal(size=(2, 6)))
    x = rng.normal(size=(3, 4, 6))
    left = project_out(x, basis)
    np.testing.assert_allclose(left @ basis.T, 0, atol=1e-12)
    np.testing.assert_allclose(project_out(left, basis), left, atol=1e-12)
    np.testing.assert_allclose(project_out(torch.from_numpy(x), torch.from_numpy(basis)).numpy(), left, atol=1e-12)
    assert abs(x @ basis.T).max() > 0.1


def test_random_units_are_uniform(rng: np.random.Generator) -> None:
    units = random_units(4000, 10, rng)
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1)
    # the square of one coordinate of a uniform unit vector has mean 1/d and variance 2 (d-1) / (d^2 (d+2))
    spread = np.sqrt(2 * 9 / (100 * 12) / 4000)
    assert abs((units**2).mean(axis=0) - 0.1).max() < 5 * spread


def test_random_units_take_a_covariance(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(50, 6)) * np.array([10, 1, 1, 1, 1, 0])
    units = random_units(500, 6, rng, rows)
    assert (units[:, 0] ** 2).mean() > 0.7
    assert np.abs(units[:, 5]).max() == 0
    with pytest.raises(DesignError, match=r"shape \(r, 6\), got \(50, 5\)"):
        random_units(1, 6, rng, rows[:, :5])


def test_norms_are_matched_or_refused() -> None:
    scaled = norm_matched(np.array([[3.0, 4], [0, 1]]), np.array([10.0, 2]))
    np.testing.assert_allclose(scaled, [[6, 8], [0, 2]])
    with pytest.raises(DesignError, match=r"rows \[1\] have no direction"):
        norm_matched(np.array([[1.0, 0], [0, 0]]), 1.0)
