"""Reading the fills of a shuffled pass: one is handed out while a thread reads the next one from disk.

Rows are read into two buffers that are used in turn, so that memory stays the same however large the store
is. A fill that holds the whole store is read once and kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from multidir.errors import FormatError
from multidir.store.activations import ActivationStore
from multidir.store.bf16 import RAW
from multidir.store.shuffle import ShufflePlan
from multidir.store.spec import Key
from multidir.types import IntArray

Raw = np.ndarray[Any, Any]

_AHEAD = 32
"""Blocks that the system is asked to read before they are needed, so that the disk is never idle."""


class FillReader:
    """Rows and order of the fills of one set of activations."""

    def __init__(self, store: ActivationStore, key: Key, plan: ShufflePlan) -> None:
        self._store, self._key, self._plan = store, key, plan
        self._buffers: list[Raw] = []
        self._held: Raw | None = None

    def read(self, epoch: int, skip: int = 0) -> Iterator[tuple[IntArray, Raw]]:
        """Fills of an epoch, one after the other.

        Args:
            epoch: which pass.
            skip: rows at the start of the epoch that are not wanted; fills that hold only such rows are not read.

        Yields:
            (m,) places of rows in the order in which they are handed out, and the (r, d) raw rows they refer to,
            valid until the next fill is asked for.
        Raises:
            FormatError: a shard is gone or is not the one that the manifest describes.
        """
        todo: list[tuple[int, int]] = []
        for number, blocks in enumerate(self._plan.fills(epoch)):
            rows = self._plan.kept(blocks)
            if skip < rows:
                todo.append((number, skip))
            skip = max(0, skip - rows)
        with ThreadPoolExecutor(1, thread_name_prefix="stream") as thread:
            upcoming: Future[Raw] | None = None
            for place, (number, first) in enumerate(todo):
                values = upcoming.result() if upcoming else self._load(epoch, number, place % 2)
                if place + 1 < len(todo):
                    upcoming = thread.submit(self._load, epoch, todo[place + 1][0], (place + 1) % 2)
                yield self._plan.order(epoch, number)[first:], values

    def _load(self, epoch: int, number: int, turn: int) -> Raw:
        if self._held is not None:
            return self._held
        blocks = self._plan.fills(epoch)[number]
        first, rows = self._plan.blocks.first[blocks], self._plan.blocks.rows[blocks]
        out = self._buffer(turn)[: int(rows.sum())]
        ends = np.cumsum(rows)
        for shard in self._store.shards:
            here = slice(*np.searchsorted(first, [shard.row_start, shard.row_end]))
            if here.start < here.stop:
                shard.raw(self._key)  # checks once that the file is the one that the manifest describes
                width = out.strides[0]
                starts = shard.offset(self._key) + (first[here] - shard.row_start) * width
                target = out[ends[here.start] - rows[here.start] : ends[here.stop - 1]]
                _read_pieces(shard.path, starts.tolist(), (rows[here] * width).tolist(), target)
        if len(blocks) == len(self._plan.blocks.first):
            self._held = out
        return out

    def _buffer(self, turn: int) -> Raw:
        while len(self._buffers) <= turn:
            spec, rows = self._store.spec, self._plan.largest_fill
            self._buffers.append(np.empty((rows, spec.d), RAW[spec.dtype]))
        return self._buffers[turn]


def _read_pieces(path: Path, starts: list[int], sizes: list[int], out: Raw) -> None:
    """Fill `out` with pieces of a file, one after the other."""
    view, at = out.reshape(-1).view(np.uint8).data, 0
    try:
        with path.open("rb", buffering=0) as file:
            for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
                if i % _AHEAD == 0:
                    later = slice(i if i == 0 else i + _AHEAD, i + 2 * _AHEAD)
                    _announce(file.fileno(), starts[later], sizes[later])
                if os.preadv(file.fileno(), [view[at : at + size]], start) != size:
                    raise FormatError(f"{path} ended while it was read: it was truncated; restore it or capture again")
                at += size
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error}; restore it or capture again") from error


def _announce(handle: int, starts: list[int], sizes: list[int]) -> None:
    if hasattr(os, "posix_fadvise"):  # a hint only, and Linux only
        for start, size in zip(starts, sizes, strict=True):
            os.posix_fadvise(handle, start, size, os.POSIX_FADV_WILLNEED)
