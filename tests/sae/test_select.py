"""Selection is exact: the same latents as a full sort, however the values lie."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multidir.sae import select
from multidir.sae.active import DenseActive, SparseActive


def shaped(kind: str, b: int, f: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(b, f, generator=rng)
    if kind == "ties":
        return values.round()
    if kind == "few positive":
        return values - 2.5
    if kind == "one latent":  # a regular sample may miss it altogether
        return torch.where(torch.arange(f) == 3, values.abs() + 5, values - 8)
    return values


@pytest.mark.parametrize("kind", ["plain", "ties", "few positive", "one latent"])
@pytest.mark.parametrize("count", [1, 40, 900, 5000])
def test_top_of_batch_is_the_largest_positive_values(kind: str, count: int) -> None:
    pre = shaped(kind, 64, 96, seed=count)
    found = select.top_of_batch(pre, count)
    flat = pre.flatten()
    wanted = flat[flat > 0].sort(descending=True).values[:count]
    torch.testing.assert_close(found.values.sort(descending=True).values, wanted, rtol=0, atol=0)
    torch.testing.assert_close(pre[found.rows, found.columns], found.values, rtol=0, atol=0)
    assert (found.rows * 96 + found.columns).diff().gt(0).all()


def test_a_large_batch_is_exact_although_its_threshold_is_guessed() -> None:
    pre = torch.randn(1024, 512, generator=torch.Generator().manual_seed(0))
    guess = select._guess(pre.flatten(), 32 * 1024)
    candidates = int((pre > guess).sum())
    assert 32 * 1024 < candidates < 1.6 * 32 * 1024  # the guess is what makes it fast
    found = select.top_of_batch(pre, 32 * 1024)
    assert len(found.values) == 32 * 1024
    assert found.values.min() == pre.flatten().topk(32 * 1024).values.min()


def test_a_misleading_sample_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    pre = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(select, "_guess", lambda flat, count: 3.9)
    assert len(select.top_of_batch(pre, 100).values) == 100


@pytest.mark.parametrize("k", [1, 5, 24])
def test_top_of_rows_is_torchs(k: int) -> None:
    pre = torch.randn(40, 24, generator=torch.Generator().manual_seed(k))
    found = select.top_of_rows(pre, k)
    dense = torch.zeros_like(pre)
    dense[found.rows, found.columns] = found.values
    top = pre.topk(k, dim=1)
    torch.testing.assert_close(dense, torch.zeros_like(pre).scatter(1, top.indices, top.values.relu()), rtol=0, atol=0)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 100))
def test_true_places_are_nonzeros(b: int, f: int, share: float, seed: int) -> None:
    mask = torch.rand(b, f, generator=torch.Generator().manual_seed(seed)) < share
    assert torch.equal(select.true_places(mask), mask.flatten().nonzero().squeeze(1))


@pytest.mark.parametrize("share", [0.02, 0.9])
def test_where_takes_the_cheaper_layout_and_both_say_the_same(share: float) -> None:
    rng = torch.Generator().manual_seed(0)
    mask, values = torch.rand(30, 20, generator=rng) < share, torch.rand(30, 20, generator=rng) + 0.1
    found = select.where(mask, values)
    assert isinstance(found, DenseActive if share > 0.5 else SparseActive)
    dec = torch.randn(20, 7, generator=rng)
    torch.testing.assert_close(found.decode(dec), (values * mask) @ dec)
    assert torch.equal(found.fired(), mask.any(0))


def test_products_of_an_empty_batch() -> None:
    nothing = SparseActive.from_places(torch.zeros(0, dtype=torch.int64), torch.zeros(4, 6))
    left, right = torch.ones(4, 3), torch.ones(6, 3)
    assert nothing.products(left, right).shape == (0,)
    assert not nothing.decode(right).any()
    assert not nothing.outer(nothing.values, left).any()
