"""Steps in which no row depends on another: exact-sparse when few latents are active, else dense in blocks of rows.

A block is small enough to stay in the cache, so that what is made of it costs little next to the dense products. In
one piece the same arithmetic waits for memory: a quarter of the step at half of 4096 latents active.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from multidir.sae.active import Active, DenseActive, SparseActive, cheaper
from multidir.sae.select import true_places
from multidir.sae.step import Found, Step, Work

BLOCK_VALUES = {"cpu": 1 << 21}
"""Pre-activations of a block; a batch is one block on other devices."""
LEAST_ROWS = 256
"""Rows of a block at least: with fewer the products themselves get slow."""


def by_rows(limit: Callable[[Work], Tensor | float], part: Callable[[Work, Active], Found]) -> Step:
    """The step of an architecture whose active latents lie above a limit.

    Args:
        limit: pre-activations above it take part; a number, or (f,).
        part: adds the gradients of some rows, given the latents that take part.
    """

    def step(work: Work) -> Found:
        mask = work.pre > limit(work)
        if not cheaper(torch.count_nonzero(mask).item() / mask.numel(), mask.device):
            return part(work, SparseActive.from_places(true_places(mask), work.pre))
        parts = [part(rows, DenseActive(rows.pre * mask[at], mask[at])) for at, rows in _blocks(work)]
        return Found.together(parts)

    return step


def _blocks(work: Work) -> Iterator[tuple[slice, Work]]:
    b, f = work.pre.shape
    values = BLOCK_VALUES.get(work.pre.device.type, b * f)
    size = max(LEAST_ROWS, values // f)
    for first in range(0, b, size):
        at = slice(first, first + size)
        yield at, replace(work, x=work.x[at], centred=work.centred[at], pre=work.pre[at])
