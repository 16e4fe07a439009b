"""Publishing the labels of an annotator: a new file, then the manifest, then the old file goes.

The file is named by its content, so that a reader never sees labels that its manifest does not describe,
whenever the writing is interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from multidir.errors import ConfigError, FormatError
from multidir.records.text import Sentence
from multidir.store.atomic import PARTIAL, explain, publish, sha256_file
from multidir.store.labels import LabelTable, make_table, read_sums, write_table
from multidir.store.locks import FolderLock
from multidir.store.spec import Key
from multidir.store.store_manifest import LabelRecord, StoreManifest, remove_debris
from multidir.store.windows import find_windows
from multidir.types import FloatArray, IntArray

if TYPE_CHECKING:
    from multidir.store.activations import ActivationStore


def publish_labels(
    store: ActivationStore, annotator: str, sentences: Iterable[Sentence], window: tuple[int, int] | None
) -> StoreManifest:
    """Write the labels of an annotator beside the shards; see `ActivationStore.put_labels`.

    Returns:
        The manifest that names them.
    """
    lock = FolderLock(store.path, "activation store")
    try:
        manifest = StoreManifest.load(store.path)
        if manifest.shards != store.manifest.shards:
            raise FormatError(f"store {store.path} was extended since it was opened; open it again to put labels")
        table = make_table(annotator, sentences, store.traces)
        record = _write(store, table, window)
        manifest = replace(manifest, labels={**manifest.labels, annotator: record})
        manifest.save(store.path)
        remove_debris(store.path, manifest)
    finally:
        lock.release()
    return manifest


def _write(store: ActivationStore, table: LabelTable, window: tuple[int, int] | None) -> LabelRecord:
    sums, counts = ({}, None) if window is None else _sums(store, table, window)
    unfinished = store.path / f"labels{PARTIAL}"
    try:
        write_table(unfinished, table, sums, counts)
        digest, size = sha256_file(unfinished), unfinished.stat().st_size
        path: Path = store.path / f"labels-{digest[:16]}.h5"
        publish(unfinished, path)
    except OSError as error:
        raise explain(error, unfinished) from error
    unlabelled = int((table.label < 0).sum())
    return LabelRecord(path.name, size, digest, table.labels, len(table), unlabelled, window, len(store.shards))


def _sums(
    store: ActivationStore, table: LabelTable, window: tuple[int, int]
) -> tuple[dict[Key, FloatArray], IntArray | None]:
    """Sums by shard and label for every set of activations, and the rows in them."""
    windows = find_windows(table, store.traces, window)
    ends = np.array([shard.row_end for shard in store.shards])
    g, s = len(windows.labels), len(store.shards)
    group = np.searchsorted(ends, windows.first, side="right") * g + windows.label
    order = np.argsort(group, kind="stable")
    windows = replace(windows, first=windows.first[order], trace=windows.trace[order], label=windows.label[order])
    sums, counts = {}, None
    for role, site in store.spec.keys:
        found, n = store.sum_windows(role, site, windows, group[order], s * g)
        sums[role, site], counts = found.reshape(s, g, store.d), n.reshape(s, g)
    return sums, counts


def label_file(folder: Path, manifest: StoreManifest, annotator: str) -> Path:
    """The label file of an annotator, as its manifest describes it.

    Raises:
        ConfigError: the annotator is not in the store.
        FormatError: the file is missing or was changed.
    """
    if annotator not in manifest.labels:
        there = ", ".join(manifest.labels) or "none"
        raise ConfigError(f"no labels of {annotator!r} in {folder}; annotators: {there}")
    record = manifest.labels[annotator]
    path = folder / record.file
    if not path.is_file() or sha256_file(path) != record.sha256:
        raise FormatError(
            f"{path}, labels of {annotator}, is missing or was changed; restore it or put the labels again"
        )
    return path


def stored_sums(folder: Path, manifest: StoreManifest, annotator: str, key: Key) -> tuple[FloatArray, IntArray]:
    """Sums (shards, labels, d) that were stored with labels, and the rows in them (shards, labels).

    Raises:
        ConfigError: the labels were put without a window, or the store was extended since.
    """
    path, record = label_file(folder, manifest, annotator), manifest.labels[annotator]
    if record.window is None or record.shards != len(manifest.shards):
        why = "put without a window" if record.window is None else "put before the store was extended"
        raise ConfigError(f"labels of {annotator} hold no sums over this store: they were {why}; put them again")
    return read_sums(path, key)
