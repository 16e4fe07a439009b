"""One shard on its way to disk: traces gathered in memory, then written, hashed and published as a whole.

allocate -> write, and meanwhile hash from memory -> fsync -> rename
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from multidir.records.text import Trace
from multidir.store.atomic import atomic_path
from multidir.store.bf16 import RAW
from multidir.store.direct import aligned, direct_handle, write_at
from multidir.store.plain import plain
from multidir.store.shard_file import Column, activations, allocate, as_bytes, digest_of, numeric, texts
from multidir.store.spec import Key, StoreSpec, dataset_name
from multidir.store.store_manifest import FORMAT, VERSION, ShardRecord

Raw = np.ndarray[Any, Any]


class ShardBuffer:
    """The traces of one shard and, as they arrive, their raw activations."""

    def __init__(self, spec: StoreSpec) -> None:
        self.spec = spec
        self.traces: list[Trace] = []
        self.rows = 0
        """Rows of the whole shard."""
        self._filled = 0
        self._raw: dict[Key, Raw] = {}
        self._capacity = 0

    def begin(self, traces: list[Trace]) -> None:
        """Start the shard of these traces, in the memory of the last one where it fits."""
        self.traces, self._filled = traces, 0
        self.rows = sum(len(trace.token_ids) for trace in traces)
        if self.rows > self._capacity:
            self._capacity = max(self.spec.shard_rows, self.rows)
            self._raw = {}
            self._raw = {k: aligned((self._capacity, self.spec.d), RAW[self.spec.dtype]) for k in self.spec.keys}

    def add(self, raw: dict[Key, Raw]) -> None:
        """Copy the (t, d) raw activations of the next trace."""
        end = self._filled + len(next(iter(raw.values())))
        for key, values in raw.items():
            self._raw[key][self._filled : end] = values
        self._filled = end

    @property
    def full(self) -> bool:
        """Whether the last trace has come."""
        return self._filled == self.rows

    def values(self, key: Key) -> Raw:
        """(rows, d) raw activations."""
        return self._raw[key][: self.rows]


def trace_columns(traces: list[Trace]) -> dict[str, tuple[Column, Raw]]:
    """Token and trace tables of a shard, with their columns."""
    lengths = np.array([len(trace.token_ids) for trace in traces], dtype="<i8")
    written = [trace.text.encode("utf-8", "surrogatepass") for trace in traces]
    numbers: dict[str, Raw] = {
        "tokens/id": np.concatenate([np.array(trace.token_ids, dtype="<i4") for trace in traces]),
        "tokens/position": np.concatenate([np.arange(n, dtype="<i4") for n in lengths]),
        "tokens/trace": np.repeat(np.arange(len(traces), dtype="<i4"), lengths),
        "traces/offsets": np.concatenate([[0], np.cumsum(lengths)]).astype("<i8"),
        "traces/n_prompt": np.array([trace.n_prompt for trace in traces], dtype="<i4"),
        "traces/finished": np.array([trace.finished for trace in traces], dtype="u1"),
        "traces/text": np.frombuffer(b"".join(written), dtype="u1"),
        "traces/text_offsets": np.concatenate([[0], np.cumsum([len(text) for text in written])]).astype("<i8"),
    }
    words = {
        "traces/id": [trace.id for trace in traces],
        "traces/prompt_id": [trace.prompt_id for trace in traces],
        "traces/category": [trace.category for trace in traces],
        "traces/model": [trace.model for trace in traces],
        "traces/sampling": [json.dumps(plain(trace.sampling), sort_keys=True) for trace in traces],
    }
    found = {name: (numeric(values), values) for name, values in numbers.items()}
    return found | {name: (texts(as_bytes(values)), as_bytes(values)) for name, values in words.items()}


def write_shard(path: Path, buffer: ShardBuffer) -> ShardRecord:
    """Write a gathered shard to `path`, whole or not at all; it is hashed from memory while it is written.

    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    columns = _columns(buffer)
    shapes = {name: column for name, (column, _) in columns.items()}
    values = {name: array for name, (_, array) in columns.items()}
    attributes = {"format": FORMAT, "version": VERSION, "dtype": buffer.spec.dtype}
    with atomic_path(path) as partial, ThreadPoolExecutor(1) as background:
        offsets = allocate(partial, shapes, attributes)
        digest = background.submit(digest_of, partial, offsets, values)
        with partial.open("rb+", buffering=0) as file, direct_handle(partial) as direct:
            for name, offset in offsets.items():
                write_at(file.fileno(), direct, offset, values[name])
            os.fsync(file.fileno())
        sha256, size = digest.result(), partial.stat().st_size
    acts = {name: offset for name, offset in offsets.items() if name.startswith("acts/")}
    return ShardRecord(path.name, buffer.rows, len(buffer.traces), size, sha256, acts)


def _columns(buffer: ShardBuffer) -> dict[str, tuple[Column, Raw]]:
    """Every dataset of the shard; activations come first, so that they start at a page of the file."""
    spec, columns = buffer.spec, {}
    for role, site in spec.keys:
        place = {"layer": site.layer, "stream": site.stream, "hidden_states_index": site.hidden_states_index}
        values = buffer.values((role, site))
        columns[f"acts/{dataset_name((role, site))}"] = activations(values.shape, spec.dtype, **place), values
    return columns | trace_columns(buffer.traces)
