"""Erasure: closed forms, what it promises, and the values of concept-erasure 0.2.4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import DesignError
from multidir.linalg.basis import orthonormal_basis
from multidir.linalg.erase import ConceptMoments, erase, leace, shrunk

GOLDEN = Path(__file__).with_name("leace_golden.npz")
seeds = st.integers(0, 2**32 - 1)


def rows(seed: int, n: int = 300, d: int = 6, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    labels[:k] = np.arange(k)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=(k, d))[labels]
    return x, np.eye(k)[labels]


@pytest.mark.parametrize("name", ["plain", "shrunk", "classes", "singular"])
def test_leace_equals_concept_erasure(name: str) -> None:
    with np.load(GOLDEN) as golden:
        x, z, expected, shrink = (golden[f"{name}.{part}"] for part in ("x", "z", "erased", "shrink"))
    moments = ConceptMoments.of(x[:7], z[:7]).merge(ConceptMoments.of(x[7:], z[7:]))
    found = erase(x, *leace(moments, bool(shrink)), moments.mean_x)
    assert np.abs(expected - x).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(x).max())


@given(seeds)
def test_after_leace_no_linear_probe_sees_the_concept_and_the_mean_stays(seed: int) -> None:
    x, z = rows(seed)
    moments = ConceptMoments.of(x, z)
    left = erase(x, *leace(moments, shrink=False), moments.mean_x)
    after = ConceptMoments.of(left, z)
    np.testing.assert_allclose(after.xz, 0, atol=1e-7 * np.abs(moments.xz).max())
    np.testing.assert_allclose(after.mean_x, moments.mean_x, atol=1e-9)
    assert np.trace(after.xx) <= np.trace(moments.xx) * (1 + 1e-9)


@given(seeds)
def test_leace_done_twice_is_leace_done_once_along_one_direction_less_than_classes(seed: int) -> None:
    x, z = rows(seed)
    moments = ConceptMoments.of(x, z)
    left, right = leace(moments, shrink=False)
    once = erase(x, left, right, moments.mean_x)
    np.testing.assert_allclose(erase(once, left, right, moments.mean_x), once, atol=1e-9 * np.abs(x).max())
    assert np.linalg.matrix_rank(x - once, tol=1e-8 * np.abs(x).max()) == 2
    assert np.abs(moments.xz).max() > 1, "there was something to erase"


@given(seeds)
def test_leace_changes_less_than_projecting_the_class_means_out(seed: int) -> None:
    x, z = rows(seed)
    moments = ConceptMoments.of(x, z)
    means = orthonormal_basis(moments.xz.T, rtol=1e-9)
    projected = erase(x, means, means, moments.mean_x)
    np.testing.assert_allclose(ConceptMoments.of(projected, z).xz, 0, atol=1e-7 * np.abs(moments.xz).max())
    spared = erase(x, *leace(moments, shrink=False), moments.mean_x)
    assert np.linalg.norm(spared - x) <= np.linalg.norm(projected - x) * (1 + 1e-9)


@given(seeds, st.integers(1, 7))
def test_moments_do_not_depend_on_how_the_rows_are_cut(seed: int, pieces: int) -> None:
    x, z = rows(seed, n=40)
    whole, parts = ConceptMoments.of(x, z), None
    for index in np.array_split(np.arange(40), pieces):
        parts = ConceptMoments.of(x[index], z[index]) if parts is None else parts.update(x[index], z[index])
    assert parts is not None
    np.testing.assert_allclose(parts.xx, np.cov(x.T, bias=True) * 40, atol=1e-9)
    for name in ("count", "mean_x", "mean_z", "xx", "xz"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-9)


@given(seeds, st.integers(1, 3), st.floats(0, 1))
def test_projection_removes_a_span_and_nothing_else(seed: int, r: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    basis = orthonormal_basis(rng.normal(size=(r, 6)) * 7)
    x = rng.normal(size=(4, 5, 6))
    left = erase(x, basis, basis, np.zeros(6), share)
    np.testing.assert_allclose(left @ basis.T, (1 - share) * (x @ basis.T), atol=1e-12)
    other = x - x @ basis.T @ basis
    np.testing.assert_allclose(left - left @ basis.T @ basis, other, atol=1e-12)


def test_torch_and_numpy_agree() -> None:
    x, z = rows(0)
    ours, theirs = (ConceptMoments.of(f(x), f(z)) for f in (np.asarray, torch.from_numpy))
    for a, b in zip(leace(ours), leace(theirs), strict=True):
        np.testing.assert_allclose(a.T @ a, (b.T @ b).numpy(), atol=1e-9)
    assert isinstance(leace(theirs)[0], torch.Tensor)


def test_shrinkage_keeps_the_trace_and_vanishes_with_many_rows() -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(50, 20)) * np.linspace(1, 3, 20)
    few = np.cov(spread.T, bias=True)
    made = shrunk(few, 50)
    assert np.trace(made) == pytest.approx(np.trace(few))
    assert np.linalg.cond(made) < np.linalg.cond(few)
    np.testing.assert_allclose(shrunk(few, 10**9), few, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(shrunk(np.eye(4) * 2, 10), np.eye(4) * 2)
    truth = np.diag(np.linspace(1, 3, 20) ** 2)
    assert np.linalg.norm(made - truth) < np.linalg.norm(few - truth)


def test_what_cannot_be_erased_is_refused() -> None:
    x, z = rows(0)
    with pytest.raises(
        DesignError, match=r"expected activations \(n, d\) and concept \(n, k\), got \(300, 6\), \(300,\)"
    ):
        ConceptMoments.of(x, z[:, 0])
    with pytest.raises(DesignError, match="at least two rows, got 1"):
        leace(ConceptMoments.of(x[:1], z[:1]))
    with pytest.raises(DesignError, match="nothing to erase"):
        leace(ConceptMoments.of(x, np.full((300, 1), 0.1)))
