"""Reading one shard: activations as a memory map at the offset where HDF5 put them, tables by name."""

from __future__ import annotations

import json
import mmap
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from multidir.errors import FormatError
from multidir.records.text import Trace
from multidir.store.bf16 import RAW, h5_type
from multidir.store.shard_file import as_texts, read_columns
from multidir.store.spec import Key, StoreSpec, TraceInfo, dataset_name
from multidir.store.store_manifest import ShardRecord

Raw = np.ndarray[Any, Any]

_TRACE_TABLES = ["traces/id", "traces/prompt_id", "traces/category", "traces/offsets", "traces/n_prompt"]


class Shard:
    """One shard of an open store; nothing is read before it is asked for."""

    def __init__(self, folder: Path, record: ShardRecord, spec: StoreSpec, row_start: int) -> None:
        self.path = folder / record.file
        self.record = record
        self.spec = spec
        self.row_start = row_start
        """Row of the store at which the shard begins."""
        self._maps: dict[Key, Raw] = {}
        self._file: mmap.mmap | None = None
        self.touched = False
        """Whether mapped rows may be in the memory of this process."""

    @property
    def row_end(self) -> int:
        """Row of the store after the last one of the shard."""
        return self.row_start + self.record.rows

    def raw(self, key: Key) -> Raw:
        """(rows, d) raw activations, mapped read-only.

        Raises:
            FormatError: the file is not the one that the manifest describes.
        """
        if key not in self._maps:
            self._maps |= self._map_all()
        self.touched = True
        return self._maps[key]

    def offset(self, key: Key) -> int:
        """Byte offset of the activations in the file."""
        return self.record.offsets[f"acts/{dataset_name(key)}"]

    def _map_all(self) -> dict[Key, Raw]:
        """Map the file once; headers and manifest must agree, or every row would be silently wrong."""
        self._check_headers()
        with self.path.open("rb") as file:
            self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        shape, kind = (self.record.rows, self.spec.d), RAW[self.spec.dtype]
        size = shape[0] * shape[1]
        return {key: np.frombuffer(self._file, kind, size, self.offset(key)).reshape(shape) for key in self.spec.keys}

    def release(self) -> None:
        """Take the mapped rows out of this process's memory; they stay in the system's cache while there is room."""
        if self.touched and self._file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._file.madvise(mmap.MADV_DONTNEED)
        self.touched = False
        """Whether mapped rows may be in the memory of this process."""

    def _check_size(self) -> None:
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size != self.record.bytes:
            raise FormatError(f"{self.path} has {size} bytes, expected {self.record.bytes}: truncated or replaced")

    def _check_headers(self) -> None:
        self._check_size()
        try:
            with h5py.File(self.path, "r") as file:
                found = [_place(file, f"acts/{dataset_name(key)}") for key in self.spec.keys]
        except (OSError, KeyError) as error:
            raise FormatError(f"{self.path} cannot be read as a shard: {error}; restore it or capture again") from error
        shape, kind = (self.record.rows, self.spec.d), h5_type(self.spec.dtype)
        if found != [(self.offset(key), shape, kind) for key in self.spec.keys]:
            raise FormatError(f"{self.path} is not the shard that the manifest describes; restore it or capture again")

    def column(self, name: str) -> Raw:
        """A whole table column, such as `tokens/id`."""
        return read_columns(self.path, [name])[name]

    @cached_property
    def traces(self) -> tuple[TraceInfo, ...]:
        """The traces of the shard, with rows counted over the whole store."""
        table = read_columns(self.path, _TRACE_TABLES)
        ends = [int(end) + self.row_start for end in table["traces/offsets"]]
        words = (as_texts(table[name]) for name in _TRACE_TABLES[:3])
        return tuple(
            TraceInfo(name, prompt, category, start, end, int(n_prompt))
            for name, prompt, category, start, end, n_prompt in zip(
                *words, ends[:-1], ends[1:], table["traces/n_prompt"], strict=True
            )
        )

    def whole_traces(self) -> list[Trace]:
        """The traces as records, with token ids and texts."""
        names = [
            "traces/model",
            "traces/sampling",
            "traces/finished",
            "traces/text",
            "traces/text_offsets",
            "tokens/id",
        ]
        table = read_columns(self.path, names)
        models, samplings = as_texts(table["traces/model"]), as_texts(table["traces/sampling"])
        text, cuts, found = table["traces/text"].tobytes(), table["traces/text_offsets"], []
        for i, info in enumerate(self.traces):
            ids = table["tokens/id"][info.row_start - self.row_start : info.row_end - self.row_start]
            found.append(
                Trace(
                    info.id,
                    info.prompt_id,
                    info.category,
                    tuple(ids.tolist()),
                    info.n_prompt,
                    text[cuts[i] : cuts[i + 1]].decode("utf-8", "surrogatepass"),
                    models[i],
                    json.loads(samplings[i]),
                    bool(table["traces/finished"][i]),
                )
            )
        return found


def _place(file: h5py.File, name: str) -> tuple[int | None, tuple[int, ...], h5py.h5t.TypeID]:
    dataset = file[name]
    return dataset.id.get_offset(), dataset.shape, dataset.id.get_type()  # pyright: ignore
