"""The activation store: residual-stream activations of traces, aligned with tokens, sentences and labels.

    store = ActivationStore.open(path)
    store.rows("reasoning", Site(10), store.trace_rows("trace_7"))        (t, d) float32
    store.window_sums("base", Site(10), "grammar/1", offsets=(-13, -8))   sums per trace and label

Rows are read from memory maps at the offsets of contiguous HDF5 datasets. The format is written down in
docs/store-format.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from multidir.errors import ConfigError, FormatError
from multidir.linalg.moments import Moments
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.store.contents import StoreContents
from multidir.store.gather import Gather
from multidir.store.label_files import label_file, publish_labels, stored_sums
from multidir.store.labels import LabelTable, read_table
from multidir.store.manifest_file import MANIFEST
from multidir.store.spec import Key, StoreSpec, as_index
from multidir.store.statistics import Statistics, measure
from multidir.store.store_manifest import StoreManifest, changed_files, missing_shards
from multidir.store.windows import Windows, WindowSums, find_windows, grouped_sums
from multidir.store.writer import StoreWriter
from multidir.types import FloatArray, IntArray, Role


class ActivationStore(StoreContents):
    """A store opened for reading; labels can be put, activations never change."""

    def __init__(self, path: Path, manifest: StoreManifest) -> None:
        super().__init__(path, manifest)
        self._tables: dict[str, LabelTable] = {}
        self._measured: dict[Key, Statistics] = {}
        self._gather = Gather(self.shards, manifest.spec)

    @classmethod
    def open(cls, path: Path, verify: bool = False) -> Self:
        """Open a store for reading.

        Args:
            path: the store, or a run folder that holds it as `store`.
            verify: hash every file first, so that nothing is computed from changed bytes; about a second per GB.

        Raises:
            FormatError: no store, of a newer version, or files are missing, of another size or changed.
        """
        path = Path(path)
        path = path / "store" if (path / "store" / MANIFEST).is_file() else path
        manifest = StoreManifest.load(path)
        if problems := changed_files(path, manifest) if verify else missing_shards(path, manifest):
            raise FormatError(f"store {path}: {'; '.join(problems)}; restore the files or capture again")
        return cls(path, manifest)

    @staticmethod
    def create(
        path: Path, spec: StoreSpec, traces: Sequence[Trace], source: Mapping[str, Any] | None = None
    ) -> StoreWriter:
        """A writer for a new store, or for one of the same spec that is to be continued or extended.

        Arguments and errors as for `StoreWriter`.
        """
        return StoreWriter(Path(path), spec, traces, source)

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return type(self).open, (self.path,)

    def __repr__(self) -> str:
        sets = ", ".join(f"{role} {site}" for role, site in self.spec.keys)
        return f"ActivationStore({self.n_traces} traces, {self.n_rows} rows of {self.d} {self.spec.dtype}: {sets})"

    def key(self, role: Role, site: Site) -> Key:
        """The set of activations of a model at a site.

        Raises:
            ConfigError: it was not captured.
        """
        if (role, site) not in self.spec.keys:
            there = ", ".join(f"{r} {s}" for r, s in self.spec.keys)
            raise ConfigError(f"{role} {site} is not in {self.path}; it holds {there}")
        return role, site

    def rows(self, role: Role, site: Site, index: Any) -> FloatArray:
        """Activations of chosen rows.

        Args:
            role: `base` or `reasoning`.
            site: where in the model.
            index: m row numbers, a slice, a range or a mask over all rows.

        Returns:
            (m, d) float32, in the order of `index`.
        """
        key = self.key(role, site)
        if isinstance(index, slice) and index.step in (None, 1):
            return self._gather.stretch(key, *index.indices(self.n_rows)[:2])
        return self._gather.values(key, as_index(index, self.n_rows))

    def raw_rows(self, role: Role, site: Site, index: Any, out: np.ndarray[Any, Any] | None = None) -> Any:
        """Stored bits of chosen rows: uint16 for bfloat16, else the floats themselves; (m, d), in `out` if given."""
        return self._gather.raw(self.key(role, site), as_index(index, self.n_rows), out)

    def mapped(self, key: Key) -> Iterator[np.ndarray[Any, Any]]:
        """(rows, d) raw activations of shard after shard; each is let go before the next one comes."""
        for shard in self.shards:
            yield shard.raw(key)
            shard.release()

    def _statistics(self, key: Key) -> Statistics:
        if key not in self._measured:
            self._measured[key] = measure(self.mapped(key), self.spec.dtype, self.position > 0, self.d)
        return self._measured[key]

    def norms(self, role: Role, site: Site) -> FloatArray:
        """(n,) float32: Euclidean norm of every row; the first call reads all rows once."""
        return self._statistics(self.key(role, site)).norms

    def mean_norm(self, role: Role, site: Site) -> float:
        """Mean norm over positions 1 and later; the first token of a text is left out, its norm is often huge."""
        return float(self.norms(role, site)[self.position > 0].mean(dtype=np.float64))

    def moments(self, role: Role, site: Site) -> Moments:
        """Per-channel mean and squared deviations over positions 1 and later; the first call reads all rows once."""
        return self._statistics(self.key(role, site)).moments

    @property
    def annotators(self) -> tuple[str, ...]:
        """Whose labels are here."""
        return tuple(self.manifest.labels)

    def put_labels(self, annotator: str, sentences: Iterable[Sentence], window: tuple[int, int] | None = None) -> None:
        """Add the labels of an annotator, or replace them; activations are not touched.

        Args:
            annotator: name and version, as in the sentences.
            sentences: of traces in this store, in any order.
            window: token offsets over which sums per label are stored with the labels, so that `label_sums`
                needs no pass over the rows later.

        Raises:
            AlignmentError: a trace is unknown, a span ends after its trace, or a sentence is there twice.
            ConfigError: another annotator's sentences, another writer at work, or a folder that cannot be written.
        """
        self.manifest = publish_labels(self, annotator, sentences, window)
        self._tables.pop(annotator, None)

    def label_table(self, annotator: str) -> LabelTable:
        """Labels of an annotator as columns.

        Raises:
            ConfigError: the annotator is not in the store.
            FormatError: the label file is missing or was changed.
        """
        if annotator not in self._tables:
            self._tables[annotator] = read_table(label_file(self.path, self.manifest, annotator), annotator)
        return self._tables[annotator]

    def labels(self, annotator: str) -> list[Sentence]:
        """Sentences of an annotator, ordered by trace and index."""
        return self.label_table(annotator).sentences()

    def windows(self, annotator: str, offsets: tuple[int, int], label: str | None = None) -> Windows:
        """Rows at token offsets from the start of labelled sentences, both ends included.

        Args:
            annotator: whose labels.
            offsets: first and last token relative to the sentence's first.
            label: only windows of sentences with this label.

        Raises:
            ConfigError: the annotator is not in the store, or gave no sentence that label.
        """
        found = find_windows(self.label_table(annotator), self.traces, offsets)
        return found if label is None else found.of(label)

    def window_sums(self, role: Role, site: Site, annotator: str, offsets: tuple[int, int]) -> WindowSums:
        """Sums of the rows in the windows of labelled sentences, by trace and label; reads those rows only.

        A row in two windows counts twice. Windows that reach position 0 or leave the text are left out.

        Args:
            role: `base` or `reasoning`.
            site: where in the model.
            annotator: whose labels.
            offsets: first and last token relative to the sentence's first, both included.

        Returns:
            Sums (t, g, d) float64, counts (t, g), and the g labels in alphabetical order; the same to the last
            bit however the store is cut into shards.
        """
        windows = self.windows(annotator, offsets)
        g = len(windows.labels)
        group = windows.trace * g + windows.label
        sums, counts = self.sum_windows(role, site, windows, group, self.n_traces * g)
        return WindowSums(sums.reshape(self.n_traces, g, self.d), counts.reshape(self.n_traces, g), windows.labels)

    def sum_windows(
        self, role: Role, site: Site, windows: Windows, group: IntArray, n_groups: int
    ) -> tuple[FloatArray, IntArray]:
        """Float64 sums (n_groups, d) of the rows of windows by their group, and row counts; see `grouped_sums`."""
        read = partial(self._gather.passing, self.key(role, site))
        try:
            return grouped_sums(windows, group, n_groups, self.d, read)
        finally:
            for shard in self.shards:
                shard.release()

    def label_sums(self, role: Role, site: Site, annotator: str) -> WindowSums:
        """Sums stored with the labels, by shard and label: a difference of means without reading rows.

        Raises:
            ConfigError: the labels were put without a window, or the store was extended since.
        """
        sums, counts = stored_sums(self.path, self.manifest, annotator, self.key(role, site))
        return WindowSums(sums, counts, self.manifest.labels[annotator].labels)

    def verify(self) -> list[str]:
        """Hash every file again; one sentence per problem, nothing when all is as it was written."""
        return changed_files(self.path, self.manifest)
