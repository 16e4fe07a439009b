"""Writing an activation store: one writer at a time, shard after shard, resumable after any interruption.

While shards go to disk in threads, the next one fills in memory. A shard ends before the first
trace that would not fit, so the same traces in the same order make the same shards, however often the
writing was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from multidir.store.pipeline import ShardPipeline
from multidir.store.provenance import versions
from multidir.store.shard_file import as_texts, read_columns
from multidir.store.spec import Key, StoreSpec, dataset_name
from multidir.store.store_manifest import StoreManifest, missing_shards, remove_debris
from multidir.types import Role


class StoreWriter:
    """Appends traces with their activations; use as a context manager.

    Leaving the block normally writes the last shard and marks the store complete; leaving it by an
    exception keeps the whole shards and drops the one in progress, as a kill would.
    """

    def __init__(self, path: Path, spec: StoreSpec) -> None:
        """Start a store, continue an interrupted one, or extend a finished one.

        Raises:
            ConfigError: another process writes it, it was made with another spec, the folder holds something
                else, or it cannot be written.
            FormatError: it is broken.
        """
        self.path, self.spec = Path(path), spec
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, self.path) from error
        self._lock = FolderLock(self.path, "activation store")
        try:
            manifest = self._begin()
            self._done = self._stored_ids(manifest)
        except BaseException:
            self._lock.release()
            raise
        self._pipeline = ShardPipeline(self.path, spec, manifest)
        self._buffer = self._pipeline.buffer()
        self._open = True

    def _begin(self) -> StoreManifest:
        """The manifest to continue, marked as being written; debris of an interrupted writer is removed."""
        if (self.path / MANIFEST).exists():
            manifest = StoreManifest.load(self.path)
            _check_same_spec(self.path, manifest.spec, self.spec)
            if problems := missing_shards(self.path, manifest):
                raise FormatError(f"store {self.path} cannot be continued: {'; '.join(problems)}; restore the files")
            manifest = replace(manifest, complete=False)
        else:
            manifest = StoreManifest(self.spec, versions())
        manifest.save(self.path)
        remove_debris(self.path, manifest)
        return manifest

    def _stored_ids(self, manifest: StoreManifest) -> set[str]:
        files = [self.path / shard.file for shard in manifest.shards]
        return {name for file in files for name in as_texts(read_columns(file, ["traces/id"])["traces/id"])}

    @property
    def done(self) -> set[str]:
        """Ids of the traces that are in whole shards or on their way there; skip them and keep the order."""
        return set(self._done)

    def append(self, trace: Trace, activations: Mapping[tuple[Role, Site], Any]) -> None:
        """Add one trace; returns before it is on disk.

        Args:
            trace: must not be in the store yet.
            activations: (t, d) numpy float array or torch tensor for every role and site of the spec, one row
                per token. bfloat16 tensors are stored bit for bit; the rest is rounded to nearest.

        Raises:
            AlignmentError: rows and tokens, or widths, differ.
            ConfigError: a role or site is missing, the trace is there already, values are not finite in the
                store's number format, or the disk refused an earlier shard.
        """
        if not self._open:
            raise ConfigError(f"the writer of {self.path} is closed; open another one to go on")
        if trace.id in self._done:
            raise ConfigError(f"trace {trace.id} is in {self.path} already; skip the ids in writer.done")
        raw = self._checked(trace, activations)
        if not self._buffer.fits(len(trace.token_ids)):
            self._pipeline.put(self._buffer)
            self._buffer = self._pipeline.buffer()
        self._buffer.add(trace, raw)
        self._done.add(trace.id)

    def _checked(self, trace: Trace, activations: Mapping[Key, Any]) -> dict[Key, np.ndarray[Any, Any]]:
        _check_keys(trace.id, self.spec, activations)
        expected = (len(trace.token_ids), self.spec.d)
        wrong = {dataset_name(k): tuple(v.shape) for k, v in activations.items() if tuple(v.shape) != expected}
        if wrong or not trace.token_ids:
            got = ", ".join(f"{name} {shape}" for name, shape in wrong.items()) or "no token"
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
        """Write the last shard, mark the store complete and give up the lock; harmless when done twice.

        Raises:
            ConfigError: the disk is full or the folder cannot be written.
        """
        if not self._open:
            return
        try:
            if self._buffer.rows:
                self._pipeline.put(self._buffer)
            replace(self._pipeline.finish(), complete=True).save(self.path)
        finally:
            self._end()

    def _end(self) -> None:
        self._open = False
        self._pipeline.stop()
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


def _check_same_spec(path: Path, old: StoreSpec, new: StoreSpec) -> None:
    was, now = old.to_json(), new.to_json()
    changed = [f"{name} was {was[name]!r:.80}, is {now[name]!r:.80}" for name in was if was[name] != now[name]]
    if changed:
        raise ConfigError(f"store {path} was made with another spec: {'; '.join(changed)}; write to another folder")


def _check_keys(trace_id: str, spec: StoreSpec, activations: Mapping[Key, Any]) -> None:
    missing = [dataset_name(key) for key in spec.keys if key not in activations]
    unknown = [dataset_name(key) for key in activations if key not in spec.keys]
    if missing or unknown:
        parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise ConfigError(f"trace {trace_id}: activations do not fit the store's spec: {'; '.join(parts)}")
