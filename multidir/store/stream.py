"""Shuffled rows for training, as torch tensors: read in blocks, mixed in a buffer, resumable at any batch.

stream = RowStream(store, "base", Site(10), Shuffle(batch_rows=4096, seed=0))
for batch in stream.batches(epochs=1):          (4096, d) tensors
...
checkpoint["stream"] = stream.state()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from multidir.errors import ConfigError
from multidir.records.site import Site
from multidir.store.activations import ActivationStore
from multidir.store.atomic import sha256_bytes, sha256_json
from multidir.store.bf16 import RAW
from multidir.store.fills import FillReader
from multidir.store.recycle import BatchMemory
from multidir.store.shuffle import Shuffle, ShufflePlan
from multidir.types import BoolArray, Role

if TYPE_CHECKING:
    import torch


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
        rows: BoolArray | None = None,
    ) -> None:
        """Prepare a stream; nothing is read yet.

        Args:
            store: where the rows are.
            role: `base` or `reasoning`.
            site: where in the model.
            settings: sizes and seed of the shuffle.
            device: where batches go; with CUDA through pinned memory, without waiting.
            dtype: number format of batches, cast on the device; none for the stored one.
            rows: (n,) bool. Rows of the store that take part; all when none.

        Raises:
            ConfigError: that set of activations is not in the store.
            DesignError: no row takes part.
        """
        self.key = store.key(role, site)
        self.store, self.settings, self.device, self.dtype = store, settings, device, dtype
        self._rows = rows
        keep = np.ones(store.n_rows, bool) if settings.first_positions else store.position > 0
        keep = keep if rows is None else keep & rows
        self.plan = ShufflePlan([shard.row_end for shard in store.shards], store.trace_index, keep, settings)
        self._fills = FillReader(store, self.key, self.plan)
        self._memory = BatchMemory(settings.batch_rows, store.d, store.spec.dtype, str(device).startswith("cuda"))
        self._epoch, self._batch = 0, 0

    @property
    def epoch(self) -> int:
        """Passes that are done."""
        return self._epoch

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
        chosen = [] if self._rows is None else [sha256_bytes(np.packbits(self._rows).tobytes())]
        return sha256_json([shards, str(self.key[0]), str(self.key[1]), asdict(self.settings), *chosen])

    def batches(self, epochs: int | None = 1) -> Iterator[torch.Tensor]:
        """Batches from the current position on.

        Args:
            epochs: stop when this many passes are done since the start of the stream; none never stops.

        Yields:
            (batch_rows, d) tensors; the last one of an epoch may be shorter.
        """
        for epoch in count(self._epoch) if epochs is None else range(self._epoch, epochs):
            for number, batch in enumerate(self._one_epoch(epoch, self._batch), start=self._batch):
                self._batch = number + 1
                yield self._delivered(batch)
            self._epoch, self._batch = epoch + 1, 0

    def _one_epoch(self, epoch: int, done: int) -> Iterator[torch.Tensor]:
        """Batches of an epoch after the first `done` ones, in memory; those that span two fills are put together."""
        import torch

        size, left = self.settings.batch_rows, np.empty((0, self.store.d), RAW[self.store.spec.dtype])
        for order, values in self._fills.read(epoch, skip=done * size):
            at = 0
            while at + size - len(left) <= len(order):
                raw, batch = self._memory.take()
                raw[: len(left)] = left
                chosen = order[at : at + size - len(left)]
                np.take(values, chosen, axis=0, out=raw[len(left) :], mode="clip")
                at, left = at + len(chosen), left[:0]
                del raw
                yield batch
                del batch  # whoever took it decides now how long its memory is in use
            left = np.concatenate([left, values[order[at:]]])
        if len(left):
            yield torch.from_numpy(left).view(getattr(torch, self.store.spec.dtype))

    def _delivered(self, batch: torch.Tensor) -> torch.Tensor:
        batch = batch.to(self.device, non_blocking=self._memory.pinned)
        return batch if self.dtype is None else batch.to(self.dtype)
