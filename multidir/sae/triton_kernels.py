"""Sparse products on a GPU by Triton: one program per bag or pair; torch does the same wherever this cannot run."""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

BLOCK = 256
"""Channels that one program holds at once."""

_failed: list[str] = []


def usable(*tensors: Tensor) -> bool:
    """Whether these tensors are float32 on a GPU with Triton, and no kernel has failed yet in this process."""
    on_gpu = all(tensor.is_cuda and tensor.dtype == torch.float32 for tensor in tensors)
    return on_gpu and not _failed and importlib.util.find_spec("triton") is not None


def bags(indices: Tensor, starts: Tensor, weights: Tensor, table: Tensor) -> Tensor:
    """(bags, d): for each stretch between two starts, the weighted sum of the table rows that are listed there."""
    n, d = len(starts) - 1, table.shape[1]
    out = torch.empty(n, d, dtype=table.dtype, device=table.device)
    table, weights = table.contiguous(), weights.contiguous()

    def launch() -> None:
        _kernels()[0][(n, -(-d // BLOCK))](indices, starts, weights, table, out, d, BLOCK=BLOCK)

    return out if _ran(launch) else bags_in_torch(indices, starts, weights, table)


def products(rows: Tensor, columns: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """(m,): left[rows[i]] . right[columns[i]]."""
    out = torch.empty(len(rows), dtype=left.dtype, device=left.device)
    left, right = left.contiguous(), right.contiguous()

    def launch() -> None:
        if len(rows):
            _kernels()[1][(len(rows),)](rows, columns, left, right, out, left.shape[1], BLOCK=BLOCK)

    return out if _ran(launch) else products_in_torch(rows, columns, left, right)


def bags_in_torch(indices: Tensor, starts: Tensor, weights: Tensor, table: Tensor) -> Tensor:
    """What `bags` computes, block of channels by block of channels."""
    blocks = [
        torch.nn.functional.embedding_bag(
            indices,
            table[:, at : at + BLOCK].contiguous(),
            starts,
            mode="sum",
            per_sample_weights=weights,
            include_last_offset=True,
        )
        for at in range(0, table.shape[1], BLOCK)
    ]
    return torch.cat(blocks, 1)


def products_in_torch(rows: Tensor, columns: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """What `products` computes, in pieces of a bounded size."""
    piece, out = max(1, (1 << 24) // left.shape[1]), left.new_empty(len(rows))
    for at in range(0, len(rows), piece):
        part = slice(at, at + piece)
        torch.sum(left[rows[part]] * right[columns[part]], 1, out=out[part])
    return out


def _ran(launch: Any) -> bool:
    """Run a kernel; if it cannot be built or started, say so once and never try again in this process."""
    try:
        launch()
    except Exception as error:  # a compiler has many ways to fail, and every one of them has the same remedy
        log.warning("Triton kernels do not run here (%s: %s); torch is used instead", type(error).__name__, error)
        _failed.append(type(error).__name__)
        return False
    return True


@functools.cache
def _kernels() -> tuple[Any, Any]:
    """Both kernels, compiled on their first call."""
    import triton
    import triton.language as tl

    @triton.jit  # type: ignore[untyped-decorator]
    def bag(indices, starts, weights, table, out, d, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
        number = tl.program_id(0)
        channels = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        inside = channels < d
        total = tl.zeros((BLOCK,), dtype=tl.float32)
        first, last = tl.load(starts + number), tl.load(starts + number + 1)
        for entry in range(first, last):
            row = tl.load(table + tl.load(indices + entry) * d + channels, mask=inside, other=0.0)
            total += tl.load(weights + entry) * row
        tl.store(out + number * d + channels, total, mask=inside)

    @triton.jit  # type: ignore[untyped-decorator]
    def product(rows, columns, left, right, out, d, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
        entry = tl.program_id(0).to(tl.int64)
        a, b = tl.load(rows + entry) * d, tl.load(columns + entry) * d
        total = tl.zeros((BLOCK,), dtype=tl.float32)
        for at in range(0, d, BLOCK):
            channels = at + tl.arange(0, BLOCK)
            inside = channels < d
            total += tl.load(left + a + channels, mask=inside, other=0.0) * tl.load(
                right + b + channels, mask=inside, other=0.0
            )
        tl.store(out + entry, tl.sum(total, axis=0))

    return bag, product
