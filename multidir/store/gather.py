"""Collecting rows from several mapped shards, in any order, with one copy per row."""

from __future__ import annotations

from typing import Any

import numpy as np

from multidir.store.bf16 import RAW, decode
from multidir.store.shard_read import Shard
from multidir.store.spec import Key, StoreSpec
from multidir.types import FloatArray, IntArray

Raw = np.ndarray[Any, Any]

_BLOCK_BYTES = 1 << 19
"""Collected at a time before conversion: small enough to stay in the processor's cache."""


class Gather:
    """Rows of the shards of one store by their number in the store."""

    def __init__(self, shards: list[Shard], spec: StoreSpec) -> None:
        self._shards = shards
        self._spec = spec
        self._starts = np.array([shard.row_start for shard in shards], dtype=np.int64)
        self._block = max(16, _BLOCK_BYTES // (spec.d * RAW[spec.dtype].itemsize))

    def raw(self, key: Key, rows: IntArray, out: Raw | None = None) -> Raw:
        """(m, d) stored bits of valid row numbers, in their order."""
        out = np.empty((len(rows), self._spec.d), RAW[self._spec.dtype]) if out is None else out
        if len(rows) == 0:
            return out
        of = np.searchsorted(self._starts, rows, side="right") - 1
        cuts = np.flatnonzero(np.diff(of)) + 1
        if len(cuts) < len(self._shards):  # few changes of shard, as in sorted rows: straight into place
            for begin, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
                shard = self._shards[of[begin]]
                # clipping skips numpy's buffered bounds check; the rows are valid already
                np.take(shard.raw(key), rows[begin:end] - shard.row_start, axis=0, out=out[begin:end], mode="clip")
            return out
        for number in np.unique(of):
            self._scatter(self._shards[number], key, rows, np.flatnonzero(of == number), out)
        return out

    def _scatter(self, shard: Shard, key: Key, rows: IntArray, places: IntArray, out: Raw) -> None:
        source = shard.raw(key)
        for begin in range(0, len(places), self._block):
            chosen = places[begin : begin + self._block]
            out[chosen] = source[rows[chosen] - shard.row_start]

    def values(self, key: Key, rows: IntArray) -> FloatArray:
        """(m, d) float32 of valid row numbers, in their order."""
        out = np.empty((len(rows), self._spec.d), np.float32)
        for begin in range(0, len(rows), self._block):
            chosen = rows[begin : begin + self._block]
            decode(self.raw(key, chosen), self._spec.dtype, out[begin : begin + len(chosen)])
        return out

    def passing(self, key: Key, rows: IntArray) -> FloatArray:
        """The same for one piece of a pass that goes upward: shards that lie behind it leave the process's memory."""
        behind = np.searchsorted(self._starts, rows.min(), side="right") - 1 if len(rows) else 0
        for shard in self._shards[:behind]:
            shard.release()
        return self.values(key, rows)

    def stretch(self, key: Key, begin: int, end: int) -> FloatArray:
        """(end - begin, d) float32 of consecutive rows."""
        end = max(begin, end)
        out = np.empty((end - begin, self._spec.d), np.float32)
        for shard in self._shards:
            low, high = max(begin, shard.row_start), min(end, shard.row_end)
            if low < high:
                raw = shard.raw(key)[low - shard.row_start : high - shard.row_start]
                decode(raw, self._spec.dtype, out[low - begin : high - begin])
        return out
