"""One shard on its way to disk: traces gathered in memory, then written, hashed and published as a whole.

allocate -> write activations -> fsync, and meanwhile norms and moments -> tables -> sha256 -> rename
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from multidir.linalg.moments import Moments
from multidir.records.text import Trace
from multidir.store.atomic import atomic_path, sha256_file
from multidir.store.bf16 import RAW, decode
from multidir.store.plain import plain
from multidir.store.shard_file import Column, activations, allocate, as_bytes, fill, numeric, texts
from multidir.store.spec import Key, StoreSpec, dataset_name
from multidir.store.store_manifest import FORMAT, VERSION, ShardRecord
from multidir.types import FloatArray

_BLOCK_VALUES = 1 << 18

Raw = np.ndarray[Any, Any]


class ShardBuffer:
    """Traces and raw activations of one shard, in memory."""

    def __init__(self, spec: StoreSpec) -> None:
        self.spec = spec
        self.traces: list[Trace] = []
        self.rows = 0
        self._capacity = 0
        self._raw: dict[Key, Raw] = {}

    def fits(self, n: int) -> bool:
        """Whether n more rows stay within the shard; an empty shard takes a trace of any length."""
        return not self.traces or self.rows + n <= self.spec.shard_rows

    def add(self, trace: Trace, raw: dict[Key, Raw]) -> None:
        """Copy the (t, d) raw activations of one trace."""
        n = len(trace.token_ids)
        if not self._raw or self.rows + n > self._capacity:  # the second only in an empty shard: see fits
            self._capacity = max(self.spec.shard_rows, n)
            self._raw = {}
            self._raw = {k: np.empty((self._capacity, self.spec.d), RAW[self.spec.dtype]) for k in self.spec.keys}
        for key, values in raw.items():
            self._raw[key][self.rows : self.rows + n] = values
        self.traces.append(trace)
        self.rows += n

    def clear(self) -> None:
        """Forget the traces, keep the memory for the next shard."""
        if self._capacity > self.spec.shard_rows:
            self._raw = {}  # grown for one long trace
        self.traces, self.rows = [], 0

    def values(self, key: Key) -> Raw:
        """(rows, d) raw activations so far."""
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


def row_statistics(raw: Raw, dtype: str, counted: Raw) -> tuple[FloatArray, Moments]:
    """Norm of every row, and mean and squared deviations per channel over the counted rows.

    Args:
        raw: (n, d) raw activations.
        dtype: their storage format.
        counted: (n,) bool. Rows that enter the moments; the first position of a text does not, because its
            norm is huge in many models.

    Returns:
        (n,) float32 norms; Moments over the counted rows, float64.
    """
    n, d = raw.shape
    norms, moments = np.empty(n, np.float32), Moments(0, np.zeros(d), np.zeros(d))
    step = max(16, _BLOCK_VALUES // d)
    for start in range(0, n, step):
        block = decode(raw[start : start + step], dtype).astype(np.float64)
        norms[start : start + step] = np.sqrt(np.einsum("nd,nd->n", block, block))
        chosen = counted[start : start + step]
        kept = block if chosen.all() else block[chosen]
        if len(kept):
            moments = moments.merge(_block_moments(kept))
    return norms, moments


def _block_moments(block: FloatArray) -> Moments:
    n = len(block)
    mean = block.sum(axis=0) / n
    block -= mean
    return Moments(n, mean, np.einsum("nd,nd->d", block, block))


def write_shard(path: Path, buffer: ShardBuffer) -> ShardRecord:
    """Write a gathered shard to `path`, whole or not at all.

    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    spec, tables = buffer.spec, trace_columns(buffer.traces)
    columns, attributes = _columns(buffer, tables)
    with atomic_path(path) as partial, ThreadPoolExecutor(1) as background:
        offsets = allocate(partial, columns, attributes)
        handle = os.open(partial, os.O_WRONLY)
        try:
            for key in spec.keys:
                fill(handle, offsets.get(f"acts/{dataset_name(key)}"), buffer.values(key))
            on_disk = background.submit(os.fsync, handle)
            for name, (_, values) in tables.items():
                fill(handle, offsets.get(name), values)
            _fill_statistics(handle, offsets, buffer, tables["tokens/position"][1] > 0)
            digest = sha256_file(partial)
            on_disk.result()
        finally:
            os.close(handle)
        size = partial.stat().st_size
    acts = {name: offset for name, offset in offsets.items() if name.startswith("acts/")}
    return ShardRecord(path.name, buffer.rows, len(buffer.traces), size, digest, acts)


def _columns(buffer: ShardBuffer, tables: dict[str, tuple[Column, Raw]]) -> tuple[dict[str, Column], dict[str, Any]]:
    spec, columns = buffer.spec, {}
    counted = buffer.rows - len(buffer.traces)
    for role, site in spec.keys:
        place = {"layer": site.layer, "stream": site.stream, "hidden_states_index": site.hidden_states_index}
        shape = (buffer.rows, spec.d)
        columns[f"acts/{dataset_name((role, site))}"] = activations(shape, spec.dtype, **place)
    for key in spec.keys:
        columns[f"norms/{dataset_name(key)}"] = numeric(np.empty(buffer.rows, "<f4"))
        columns[f"moments/{dataset_name(key)}"] = numeric(np.empty((2, spec.d), "<f8"), count=counted)
    columns |= {name: column for name, (column, _) in tables.items()}
    return columns, {"format": FORMAT, "version": VERSION, "dtype": spec.dtype}


def _fill_statistics(handle: int, offsets: dict[str, int], buffer: ShardBuffer, counted: Raw) -> None:
    for key in buffer.spec.keys:
        norms, moments = row_statistics(buffer.values(key), buffer.spec.dtype, counted)
        fill(handle, offsets.get(f"norms/{dataset_name(key)}"), norms)
        fill(handle, offsets.get(f"moments/{dataset_name(key)}"), np.array([moments.mean, moments.m2]))
