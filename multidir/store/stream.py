"""Shuffled rows for training, as torch tensors: read in blocks, mixed in a buffer, resumable at any batch.

    stream = RowStream(store, "base", Site(10), Shuffle(batch_rows=4096, seed=0))
    for batch in stream.batches(epochs=1):          (4096, d) tensors
        ...
        checkpoint["stream"] = stream.state()

One buffer is handed out while a thread reads the next one, so that the disk never waits.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from multidir.errors import ConfigError, FormatError
from multidir.records.site import Site
from multidir.store.activations import ActivationStore
from multidir.store.atomic import sha256_json
from multidir.store.bf16 import RAW
from multidir.store.shuffle import Shuffle, ShufflePlan
from multidir.types import IntArray, Role

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Raw = np.ndarray[Any, Any]

_AHEAD = 16
"""Blocks that the kernel is asked to fetch before they are read."""


class RowStream:
    """Batches of activations in a shuffled order that depends on the settings and the store only."""

    def __init__(
        self,
        store: ActivationStore,
        role: Role,
        site: Site,
        settings: Shuffle,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        """Prepare a stream; nothing is read yet.

        Args:
            store: where the rows are.
            role: `base` or `reasoning`.
            site: where in the model.
            settings: sizes and seed of the shuffle.
            device: where batches go; with CUDA through pinned memory, without waiting.
            dtype: number format of batches, cast on the device; none for the stored one.
        """
        self.key = store.key(role, site)
        self.store, self.settings, self.device, self.dtype = store, settings, device, dtype
        keep = np.ones(store.n_rows, bool) if settings.first_positions else store.position > 0
        self.plan = ShufflePlan([shard.row_end for shard in store.shards], store.trace_index, keep, settings)
        self._epoch, self._batch = 0, 0
        self._held: Raw | None = None

    @property
    def rows_per_epoch(self) -> int:
        """Rows in one pass."""
        return self.plan.n

    def collision_ratio(self) -> float:
        """How often two rows of a batch share a trace, relative to a full permutation; 1 is perfect."""
        return self.plan.collision_ratio(self._epoch)

    def state(self) -> dict[str, Any]:
        """Position of the next batch, as JSON values; give it to `resume`."""
        return {"stream": self._identity(), "epoch": self._epoch, "batch": self._batch}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on at a position that `state` gave; the next batch is the one that would have come.

        Raises:
            ConfigError: the state is of another store, set of activations or shuffle.
        """
        if state.get("stream") != self._identity():
            raise ConfigError("the saved position belongs to another stream: store, site and shuffle must be the same")
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])

    def _identity(self) -> str:
        shards = [record.sha256 for record in self.store.manifest.shards]
        return sha256_json([shards, str(self.key[0]), str(self.key[1]), asdict(self.settings)])

    def batches(self, epochs: int | None = 1) -> Iterator[torch.Tensor]:
        """Batches from the current position on.

        Args:
            epochs: stop when this many passes are done since the start of the stream; none never stops.

        Yields:
            (batch_rows, d) tensors; the last one of an epoch may be shorter.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="stream") as pool:
            for epoch in count(self._epoch) if epochs is None else range(self._epoch, epochs):
                yield from self._one_epoch(epoch, pool)
                self._epoch, self._batch = epoch + 1, 0

    def _one_epoch(self, epoch: int, pool: ThreadPoolExecutor) -> Iterator[torch.Tensor]:
        size, left = self.settings.batch_rows, np.empty((0, self.store.d), RAW[self.store.spec.dtype])
        skip = self._batch * size
        for order, values in self._read_fills(epoch, pool, skip):
            at = 0
            while at < len(order):
                chosen = order[at : at + size - len(left)]
                at += len(chosen)
                if len(left) + len(chosen) < size:
                    left = np.concatenate([left, values[chosen]])
                    break
                batch = self._collect(left, values, chosen)
                left = left[:0]
                self._batch += 1
                yield batch
        if len(left):
            self._batch += 1
            yield self._collect(left, left, np.zeros(0, np.int64))

    def _read_fills(self, epoch: int, pool: ThreadPoolExecutor, skip: int) -> Iterator[tuple[IntArray, Raw]]:
        """Order and rows of each fill that holds something after the first `skip` rows of the epoch."""
        fills = self.plan.fills(epoch)
        todo: list[tuple[int, int]] = []
        for number, blocks in enumerate(fills):
            size = self.plan.kept(blocks)
            if skip < size:
                todo.append((number, skip))
            skip = max(0, skip - size)
        upcoming: Future[Raw] | None = None
        for place, (number, from_row) in enumerate(todo):
            values = upcoming.result() if upcoming else self._load(fills[number])
            upcoming = pool.submit(self._load, fills[todo[place + 1][0]]) if place + 1 < len(todo) else None
            yield self.plan.order(epoch, number)[from_row:], values

    def _load(self, blocks: IntArray) -> Raw:
        """Rows of blocks in reading order; a fill that holds the whole store is kept for the next epoch."""
        if self._held is not None:
            return self._held
        spec, first, rows = self.store.spec, self.plan.blocks.first[blocks], self.plan.blocks.rows[blocks]
        out = np.empty((int(rows.sum()), spec.d), RAW[spec.dtype])
        ends, width = np.cumsum(rows), out.strides[0]
        for shard in self.store.shards:
            here = np.flatnonzero((first >= shard.row_start) & (first < shard.row_end))
            if len(here):
                shard.raw(self.key)  # checks once that the file is the one that the manifest describes
                starts = shard.offset(self.key) + (first[here] - shard.row_start) * width
                target = out[ends[here[0]] - rows[here[0]] : ends[here[-1]]]
                _read_pieces(shard.path, starts, rows[here] * width, target)
        if len(blocks) == len(self.plan.blocks.first):
            self._held = out
        return out

    def _collect(self, left: Raw, values: Raw, chosen: IntArray) -> torch.Tensor:
        """One batch: the rows left over from the fill before, then chosen rows of this one."""
        import torch

        pinned = torch.device(self.device).type == "cuda"
        kind = getattr(torch, self.store.spec.dtype)
        batch = torch.empty((len(left) + len(chosen), self.store.d), dtype=kind, pin_memory=pinned)
        target = batch.view(torch.uint16).numpy() if kind is torch.bfloat16 else batch.numpy()
        target[: len(left)] = left
        np.take(values, chosen, axis=0, out=target[len(left) :], mode="clip")
        batch = batch.to(self.device, non_blocking=pinned)
        return batch if self.dtype is None else batch.to(self.dtype)


def _read_pieces(path: Any, starts: IntArray, sizes: IntArray, out: Raw) -> None:
    """Fill `out` with pieces of a file, one after the other; the kernel fetches some blocks ahead."""
    view, at = out.reshape(-1).view(np.uint8).data, 0
    handle = os.open(path, os.O_RDONLY)
    try:
        for i, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
            if i % _AHEAD == 0:
                for later, length in zip(starts[i : i + 2 * _AHEAD], sizes[i : i + 2 * _AHEAD], strict=True):
                    _announce(handle, int(later), int(length))
            got = os.preadv(handle, [view[at : at + size]], start)
            if got != size:
                raise FormatError(f"{path} ends {size - got} bytes early; it was truncated while it was read")
            at += size
    finally:
        os.close(handle)


def _announce(handle: int, start: int, size: int) -> None:
    if hasattr(os, "posix_fadvise"):  # a hint only, and Linux only
        os.posix_fadvise(handle, start, size, os.POSIX_FADV_WILLNEED)
