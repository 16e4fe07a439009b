"""Writing an activation store: one writer at a time, shard after shard, resumable after any interruption.

The traces are announced before the first one is appended. So a shard is written in the moment its last
trace arrives, a kill loses the shard in progress and no more, and the same traces in the same order make
the same shards, however often the writing was interrupted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from multidir.errors import AlignmentError, ConfigError, FormatError
from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.store.atomic import explain
from multidir.store.bf16 import encode, rows_not_finite
from multidir.store.locks import FolderLock
from multidir.store.manifest_file import MANIFEST
from multidir.store.portions import portions
from multidir.store.provenance import versions
from multidir.store.shard_file import as_texts, read_columns
from multidir.store.shard_write import ShardBuffer, write_shard
from multidir.store.spec import Key, StoreSpec, dataset_name
from multidir.store.store_manifest import StoreManifest, missing_shards, remove_debris
from multidir.types import Role

log = logging.getLogger(__name__)


class StoreWriter:
    """Appends the activations of announced traces, in their order; use as a context manager.

    Leaving the block normally marks the store complete; leaving it by an exception keeps the whole shards
    and drops the one in progress, as a kill would.
    """

    def __init__(
        self, path: Path, spec: StoreSpec, traces: Sequence[Trace], source: Mapping[str, Any] | None = None
    ) -> None:
        """Start a store, continue an interrupted one, or extend a finished one.

        Args:
            path: the folder.
            spec: what the store holds.
            traces: all that are to be appended, in order; those that the store has already are passed over.
            source: what is to be known of these traces, as JSON values; kept in the manifest.

        Raises:
            AlignmentError: a trace without a token.
            ConfigError: a trace is given twice or is in the store with other tokens, another process writes it,
                it was made with another spec, the folder holds something else, or it cannot be written.
            FormatError: it is broken.
        """
        self.path, self.spec = Path(path), spec
        _check_traces(traces)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, self.path) from error
        self._lock = FolderLock(self.path, "activation store")
        try:
            found = self._found()
            stored = self._stored(found, traces)
            self._manifest = replace(found, complete=False).with_source(dict(source or {}))
            self._manifest.save(self.path)
            remove_debris(self.path, self._manifest)
        except BaseException:
            self._lock.release()
            raise
        self._missing = [trace for trace in traces if trace.id not in stored]
        self._shards = portions([len(trace.token_ids) for trace in self._missing], spec.shard_rows)
        self._appended = 0
        self._buffer = ShardBuffer(spec)
        self._open = True

    def _found(self) -> StoreManifest:
        """The manifest to continue, or a new one."""
        if not (self.path / MANIFEST).exists():
            return StoreManifest(self.spec, versions())
        manifest = StoreManifest.load(self.path)
        _check_same_spec(self.path, manifest.spec, self.spec)
        if problems := missing_shards(self.path, manifest):
            raise FormatError(f"store {self.path} cannot be continued: {'; '.join(problems)}; restore the files")
        return manifest

    def _stored(self, manifest: StoreManifest, traces: Sequence[Trace]) -> set[str]:
        """Ids of the given traces that whole shards hold; the same id with other tokens is another trace."""
        given, found = {trace.id: trace for trace in traces}, set()
        for shard in manifest.shards:
            table = read_columns(self.path / shard.file, ["traces/id", "traces/offsets", "tokens/id"])
            ends = table["traces/offsets"]
            for name, start, end in zip(as_texts(table["traces/id"]), ends[:-1], ends[1:], strict=True):
                if name in given and not np.array_equal(table["tokens/id"][start:end], given[name].token_ids):
                    raise ConfigError(
                        f"trace {name} is in {self.path} with other tokens; new traces need new ids or seeds"
                    )
                found.update({name} & given.keys())
        return found

    @property
    def missing(self) -> tuple[Trace, ...]:
        """Announced traces that are still to be appended, in order."""
        return tuple(self._missing[self._appended :])

    def append(self, trace_id: str, activations: Mapping[tuple[Role, Site], Any]) -> None:
        """Add the next trace; with the last one of a shard, write the shard.

        Args:
            trace_id: the first of `missing`.
            activations: (t, d) numpy float array or torch tensor for every role and site of the spec, one row
                per token. bfloat16 tensors are stored bit for bit; the rest is rounded to nearest.

        Raises:
            AlignmentError: rows and tokens, or widths, differ.
            ConfigError: another trace comes next, a role or site is missing, values are not finite in the store's
                number format, the disk is full, or the folder cannot be written.
        """
        if not self._open:
            raise ConfigError(f"the writer of {self.path} is closed; open another one to go on")
        expected = self._missing[self._appended] if self._appended < len(self._missing) else None
        if expected is None or expected.id != trace_id:
            following = f"trace {expected.id} comes next" if expected else "every announced trace is there"
            raise ConfigError(f"trace {trace_id} cannot be appended to {self.path}: {following}; see writer.missing")
        raw = self._checked(expected, activations)
        if self._appended == 0 or self._buffer.full:
            self._buffer.begin([self._missing[place] for place in next(self._shards)])
        self._buffer.add(raw)
        self._appended += 1
        if self._buffer.full:
            self._write_shard()

    def _write_shard(self) -> None:
        """Publish the shard and then name it in the manifest."""
        path = self.path / f"shard-{len(self._manifest.shards):05d}.h5"
        try:
            self._manifest = self._manifest.with_shard(write_shard(path, self._buffer))
            self._manifest.save(self.path)
        except BaseException:
            self._end()  # what is in memory cannot be written any more: the next writer starts at this shard
            raise
        log.info("%s: %d rows of %d traces", path.name, self._buffer.rows, len(self._buffer.traces))

    def _checked(self, trace: Trace, activations: Mapping[Key, Any]) -> dict[Key, np.ndarray[Any, Any]]:
        _check_keys(trace.id, self.spec, activations)
        expected = (len(trace.token_ids), self.spec.d)
        wrong = {dataset_name(k): tuple(v.shape) for k, v in activations.items() if tuple(v.shape) != expected}
        if wrong:
            got = ", ".join(f"{name} {shape}" for name, shape in wrong.items())
            raise AlignmentError(
                f"trace {trace.id}: expected activations of shape {expected}, tokens by width; got {got}"
            )
        raw = {key: encode(activations[key], self.spec.dtype) for key in self.spec.keys}
        if broken := {dataset_name(k): n for k, v in raw.items() if (n := rows_not_finite(v, self.spec.dtype))}:
            places = ", ".join(f"{n} rows at {name}" for name, n in broken.items())
            hint = "float16 ends at 65504: use bfloat16" if self.spec.dtype == "float16" else "look at the model"
            raise ConfigError(f"trace {trace.id}: not finite in {self.spec.dtype}: {places}; {hint}")
        return raw

    def close(self) -> None:
        """Mark the store complete and give up the lock; harmless when done twice.

        Raises:
            ConfigError: announced traces were not appended, or the folder cannot be written.
        """
        if not self._open:
            return
        try:
            if missing := len(self.missing):
                raise ConfigError(
                    f"store {self.path} ends {missing} of {len(self._missing)} traces too early, the next one is "
                    f"{self.missing[0].id}; append them, or announce fewer"
                )
            replace(self._manifest, complete=True).save(self.path)
        finally:
            self._end()

    def _end(self) -> None:
        self._open = False
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._open:
            self._end()


def _check_traces(traces: Sequence[Trace]) -> None:
    if empty := [trace.id for trace in traces if not trace.token_ids]:
        raise AlignmentError(f"no token in {len(empty)} traces, the first one is {empty[0]}; leave them out")
    if twice := [name for name, n in Counter(trace.id for trace in traces).items() if n > 1]:
        raise ConfigError(f"{len(twice)} trace ids are there twice, the first one is {twice[0]}; ids must be unique")


def _check_same_spec(path: Path, old: StoreSpec, new: StoreSpec) -> None:
    was, now = dict(_flat(old.to_json())), dict(_flat(new.to_json()))
    differing = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if differing:
        changed = [f"{name} was {was.get(name)!r:.80}, is {now.get(name)!r:.80}" for name in differing]
        raise ConfigError(f"store {path} was made with another spec: {'; '.join(changed)}; write to another folder")


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", [part["site"] for part in item] if name == "sites" else item


def _check_keys(trace_id: str, spec: StoreSpec, activations: Mapping[Key, Any]) -> None:
    missing = [dataset_name(key) for key in spec.keys if key not in activations]
    unknown = [dataset_name(key) for key in activations if key not in spec.keys]
    if missing or unknown:
        parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise ConfigError(f"trace {trace_id}: activations do not fit the store's spec: {'; '.join(parts)}")
