"""The kernels' arithmetic on a CPU, and that torch takes over wherever they cannot run."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from multidir.sae import triton_kernels as kernels
from multidir.sae.active import SparseActive


def case(d: int, device: str = "cpu") -> tuple[SparseActive, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(d)
    columns = torch.rand(9, 20, generator=rng).topk(4, dim=1).indices
    active = SparseActive.from_rows(torch.rand(9, 4, generator=rng), columns, 20)
    parts = (active.values, active.columns, active.starts)
    moved = SparseActive(*(part.to(device) for part in parts), 20)
    return moved, torch.randn(20, d, generator=rng).to(device), torch.randn(9, d, generator=rng).to(device)


@pytest.mark.parametrize("d", [1, 255, 256, 700])
def test_what_takes_over_computes_the_same(d: int) -> None:
    active, dec, up = case(d)
    found = kernels.bags_in_torch(active.columns, active.starts, active.values, dec)
    torch.testing.assert_close(found, active.decode(dec))
    found = kernels.products_in_torch(active.rows, active.columns, up, dec)
    torch.testing.assert_close(found, active.products(up, dec), rtol=1e-4, atol=1e-4)


def test_a_kernel_that_fails_is_replaced_once_and_for_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(kernels, "_kernels", broken)
    monkeypatch.setattr(kernels, "_failed", [])
    active, dec, up = case(32)
    with caplog.at_level(logging.WARNING, "multidir"):
        torch.testing.assert_close(kernels.bags(active.columns, active.starts, active.values, dec), active.decode(dec))
        torch.testing.assert_close(
            kernels.products(active.rows, active.columns, up, dec), active.products(up, dec), rtol=1e-4, atol=1e-4
        )
    assert "Triton kernels do not run here (RuntimeError: no compiler)" in caplog.text
    assert kernels._failed
    assert not kernels.usable(dec)


def test_kernels_are_for_float32_on_a_gpu() -> None:
    assert not kernels.usable(torch.zeros(2))


@pytest.mark.gpu
@pytest.mark.parametrize("d", [1, 255, 256, 700])
def test_kernels_on_a_gpu(d: int) -> None:
    active, dec, up = case(d, "cuda")
    assert kernels.usable(dec)
    plain, _, _ = case(d)
    torch.testing.assert_close(active.decode(dec).cpu(), plain.decode(dec.cpu()))
    torch.testing.assert_close(
        active.products(up, dec).cpu(), plain.products(up.cpu(), dec.cpu()), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(active.outer(active.values, up).cpu(), plain.outer(plain.values, up.cpu()))
    assert not kernels._failed
