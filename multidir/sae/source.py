"""Where batches come from: shuffled rows of a store. One batch per step, so a step number is a position.

A source gives the rows of one or several sets of activations, the same tokens in each, so that many dictionaries
and a crosscoder learn from one pass.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.models.pipeline import prefetch
from multidir.sae.parallel import Group
from multidir.store.activations import ActivationStore
from multidir.store.atomic import sha256_bytes, sha256_json
from multidir.store.shuffle import Shuffle
from multidir.store.spec import Key
from multidir.store.stream import RowStream
from multidir.types import BoolArray

Batch = dict[Key, Tensor]
"""Rows (b, d) of each set of activations, on the device, as floats, for the same tokens."""

_AHEAD = 2
"""Batches that are made ready while a step runs."""


def rows_hash(store: ActivationStore) -> str:
    """Hash of a store's activations; other labels on the same rows change nothing."""
    return sha256_json([record.sha256 for record in store.manifest.shards])


class Source(Protocol):
    """Endless full batches from any position on."""

    @property
    def identity(self) -> str: ...  # noqa: D102
    def sample(self, rows: int) -> Batch: ...  # noqa: D102
    def batches(self, first: int) -> Generator[Batch, None, None]: ...  # noqa: D102


class StoreSource:
    """Shuffled rows of a store; with several processes each reads traces of its own."""

    def __init__(
        self,
        store: ActivationStore,
        keys: Iterable[Key],
        shuffle: Shuffle,
        rows: BoolArray,
        device: torch.device | str = "cpu",
        group: Group | None = None,
    ) -> None:
        """Prepare a source; nothing is read yet.

        Args:
            store: where the rows are.
            keys: sets of activations to read side by side.
            shuffle: order; its batch is that of all processes together.
            rows: (n,) bool. Rows to learn from.
            device: where batches go.
            group: processes that share the rows.

        Raises:
            ConfigError: a set is not in the store.
            DesignError: fewer rows than a batch, or a batch that cannot be shared evenly.
        """
        group = group or Group()
        self.store, self.shuffle, self._device = store, shuffle, device
        self.keys = tuple(store.key(*key) for key in keys)
        self._rows = rows
        if shuffle.batch_rows % group.size:
            raise DesignError(f"a batch of {shuffle.batch_rows} rows cannot be shared by {group.size} processes")
        mine = rows & (store.trace_index % group.size == group.rank)
        self._own = Shuffle(**{**vars(shuffle), "batch_rows": shuffle.batch_rows // group.size})
        n = int(mine.sum() if shuffle.first_positions else (mine & (store.position > 0)).sum())
        self._per_pass = n // self._own.batch_rows
        if not self._per_pass:
            raise DesignError(
                f"{store.path} has {n} rows to learn from in this process and a batch takes {self._own.batch_rows}; "
                "take a smaller batch, hold out less, or capture more"
            )
        self._mine = mine
        chosen, names = sha256_bytes(np.packbits(rows).tobytes()), [str(part) for part in self.keys]
        self.identity = sha256_json([rows_hash(store), names, vars(shuffle), chosen, group.size])

    def collision_ratio(self) -> float:
        """How often two rows of a batch share a trace, relative to a full permutation; 1 is perfect."""
        return self._stream(self.keys[0]).collision_ratio()

    def sample(self, rows: int) -> Batch:
        """Rows from the whole of the store, the same in every process."""
        chosen = np.flatnonzero(self._rows & (self.store.position > 0))
        rng = np.random.default_rng([self.shuffle.seed, 1])
        index = np.sort(rng.choice(chosen, min(rows, len(chosen)), replace=False))
        return {key: torch.from_numpy(self.store.rows(*key, index)).to(self._device) for key in self.keys}

    def batches(self, first: int) -> Generator[Batch, None, None]:
        """Batches from number `first` on; read and cast in a thread, a little ahead."""
        with closing(prefetch(self._read(first), _AHEAD)) as ready:
            yield from ready

    def _read(self, first: int) -> Iterator[Batch]:
        streams = [self._stream(key) for key in self.keys]
        epoch, batch = divmod(first, self._per_pass)
        for stream in streams:
            stream.resume({**stream.state(), "epoch": epoch, "batch": batch})
        for parts in zip(*(stream.batches(epochs=None) for stream in streams), strict=True):
            if len(parts[0]) == self._own.batch_rows:
                yield dict(zip(self.keys, parts, strict=True))

    def _stream(self, key: Key) -> RowStream:
        return RowStream(self.store, *key, self._own, self._device, torch.float32, self._mine)
