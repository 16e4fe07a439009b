"""What a store holds beside its activations: shards, traces and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from multidir.errors import ConfigError
from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.store.shard_read import Shard
from multidir.store.spec import StoreSpec, TraceInfo
from multidir.store.store_manifest import StoreManifest
from multidir.types import IntArray, Role


class StoreContents:
    """The shards of a store, and the traces and tokens in them; nothing is read before it is asked for."""

    def __init__(self, path: Path, manifest: StoreManifest) -> None:
        self.path = Path(path)
        self.manifest = manifest
        starts = accumulate((record.rows for record in manifest.shards), initial=0)
        self.shards = [
            Shard(self.path, record, manifest.spec, start)
            for record, start in zip(manifest.shards, starts, strict=False)
        ]

    @property
    def spec(self) -> StoreSpec:
        """What the store holds."""
        return self.manifest.spec

    @property
    def sites(self) -> tuple[Site, ...]:
        """Captured sites."""
        return self.spec.sites

    @property
    def roles(self) -> tuple[Role, ...]:
        """Captured models."""
        return tuple(dict.fromkeys(role for role, _ in self.spec.keys))

    @property
    def d(self) -> int:
        """Width of the residual stream."""
        return self.spec.d

    @property
    def n_rows(self) -> int:
        """Tokens."""
        return self.manifest.n_rows

    @property
    def n_traces(self) -> int:
        """Traces."""
        return self.manifest.n_traces

    @property
    def content_hash(self) -> str:
        """Hash of what made the store, its activations and its labels."""
        return self.manifest.content_hash

    @cached_property
    def traces(self) -> tuple[TraceInfo, ...]:
        """Where each trace lies, in the order of rows."""
        return tuple(info for shard in self.shards for info in shard.traces)

    @cached_property
    def _trace_place(self) -> dict[str, int]:
        return {info.id: i for i, info in enumerate(self.traces)}

    def info(self, trace_id: str) -> TraceInfo:
        """Where one trace lies.

        Raises:
            ConfigError: the trace is not in the store.
        """
        if trace_id not in self._trace_place:
            raise ConfigError(f"no trace {trace_id!r} in {self.path}; it holds {self.n_traces}, see store.traces")
        return self.traces[self._trace_place[trace_id]]

    def trace_rows(self, trace_id: str) -> slice:
        """Rows of one trace, one per token."""
        info = self.info(trace_id)
        return slice(info.row_start, info.row_end)

    def iterate_traces(self) -> Iterator[Trace]:
        """The traces as records, shard by shard."""
        for shard in self.shards:
            yield from shard.whole_traces()

    def trace(self, trace_id: str) -> Trace:
        """One trace as a record, with token ids and text."""
        row = self.info(trace_id).row_start
        shard = next(s for s in self.shards if s.row_start <= row < s.row_end)
        return next(trace for trace in shard.whole_traces() if trace.id == trace_id)

    def _column(self, name: str) -> IntArray:
        return np.concatenate([np.zeros(0, np.int32), *(shard.column(name) for shard in self.shards)])

    @cached_property
    def token_ids(self) -> IntArray:
        """(n,) int32 token ids."""
        return self._column("tokens/id")

    @cached_property
    def position(self) -> IntArray:
        """(n,) int32: position of each token in its trace, from 0."""
        return self._column("tokens/position")

    @cached_property
    def trace_index(self) -> IntArray:
        """(n,) int32: place in `traces` of the trace of each row."""
        return np.repeat(np.arange(self.n_traces, dtype=np.int32), [info.n_tokens for info in self.traces])
