from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import DesignError
from multidir.linalg.moments import Moments

EXACT = 1e-12
"""Relative; only rounding differs between two ways of cutting the rows."""


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4))
def test_any_way_of_cutting_gives_the_same(sizes: list[int], seed: int, shift: float) -> None:
    rows = np.random.default_rng(seed).normal(size=(sum(sizes), 3)) + shift
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    merged = Moments.of(parts[0])
    for i, part in enumerate(parts[1:]):
        merged = merged.update(part) if i % 2 else merged.merge(Moments.of(part))
    assert merged.count == len(rows)
    if len(rows) > 1:
        np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=EXACT, atol=EXACT * (1 + abs(shift)))
        np.testing.assert_allclose(merged.variance(), rows.var(axis=0, ddof=1), rtol=1e-7)


def test_a_large_offset_costs_no_digits(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(1000, 4)) + 1e8
    split = Moments.of(rows[:300]).merge(Moments.of(rows[300:]))
    np.testing.assert_allclose(split.variance(), rows.var(axis=0, ddof=1), rtol=1e-7)
    naive = (rows**2).mean(axis=0) - rows.mean(axis=0) ** 2
    assert not np.allclose(naive, rows.var(axis=0), rtol=0.1)


def test_torch_takes_the_same_formula(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(20, 3)).astype(np.float32)
    ours, theirs = Moments.of(rows), Moments.of(torch.from_numpy(rows[:7])).update(torch.from_numpy(rows[7:]))
    assert isinstance(theirs.mean, torch.Tensor)
    assert theirs.mean.dtype == torch.float64
    np.testing.assert_allclose(theirs.variance().numpy(), ours.variance(), rtol=EXACT)


def test_means_only(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(9, 2))
    kept = Moments.of(rows[:4], second=False).update(rows[4:])
    assert kept.m2 is None
    np.testing.assert_allclose(kept.mean, rows.mean(axis=0))
    with pytest.raises(DesignError, match="second=True"):
        kept.variance()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DesignError, match="width 2 and 3"):
        Moments.of(np.ones((2, 2))).merge(Moments.of(np.ones((2, 3))))
    with pytest.raises(DesignError, match="same `second`"):
        Moments.of(np.ones((2, 2))).merge(Moments.of(np.ones((2, 2)), second=False))
    with pytest.raises(DesignError, match=r"shape \(2,\)"):
        Moments.of(np.ones(2))
    with pytest.raises(DesignError, match="more than 1 rows, got 1"):
        Moments.of(np.ones((1, 2))).variance()
