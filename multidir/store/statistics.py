"""Norms and per-channel moments of one set of activations: one pass over mapped rows in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from multidir.linalg.moments import Moments
from multidir.store.bf16 import decode
from multidir.types import BoolArray, FloatArray

_BLOCK_VALUES = 1 << 18


class Statistics(NamedTuple):
    """What one pass over the rows finds."""

    norms: FloatArray
    """(n,) float32: Euclidean norm of every row."""
    moments: Moments
    """Per channel, float64, over the rows that count."""


def measure(shards: Iterable[np.ndarray[Any, Any]], dtype: str, counted: BoolArray, d: int) -> Statistics:
    """Norms of all rows, and moments over the counted ones.

    Args:
        shards: (rows, d) raw activations of each shard, in order.
        dtype: their storage format.
        counted: (n,) bool. Rows that enter the moments.
        d: width.
    """
    norms, moments, at = np.empty(len(counted), np.float32), Moments(0, np.zeros(d), np.zeros(d)), 0
    step = max(16, _BLOCK_VALUES // d)
    for raw in shards:
        for start in range(0, len(raw), step):
            block = decode(raw[start : start + step], dtype).astype(np.float64)
            here = slice(at, at + len(block))
            norms[here] = np.sqrt(np.einsum("nd,nd->n", block, block))
            moments = moments.update(block[counted[here]])
            at += len(block)
    return Statistics(norms, moments)
