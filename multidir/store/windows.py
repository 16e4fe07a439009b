"""Rows at fixed offsets from the start of labelled sentences, and their sums.

    window of a sentence = rows start+lo .. start+hi, both ends included

A window that would reach position 0 (the first token of a text, whose norm is huge in many models) or
past the end of its trace is left out whole, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from multidir.errors import ConfigError
from multidir.store.labels import LabelTable
from multidir.store.spec import TraceInfo
from multidir.types import FloatArray, IntArray

_CHUNK_VALUES = 1 << 19


@dataclass(frozen=True, eq=False)
class Windows:
    """Where the windows of labelled sentences lie, ordered by trace and label."""

    first: IntArray
    """(w,) first row of each window in the store."""
    length: int
    """Rows of a window."""
    trace: IntArray
    """(w,) place of the trace in the store."""
    label: IntArray
    """(w,) place in `labels`."""
    labels: tuple[str, ...]
    outside: int
    """Labelled sentences without a window, because it would leave the text."""
    unlabelled: int
    """Sentences that their annotator could not label."""

    def rows(self) -> IntArray:
        """(w, length) rows of the store."""
        return self.first[:, None] + np.arange(self.length)

    def of(self, label: str) -> Windows:
        """The windows of one label.

        Raises:
            ConfigError: no sentence has it.
        """
        if label not in self.labels:
            raise ConfigError(f"no sentence is labelled {label!r}; the labels are {', '.join(self.labels) or 'none'}")
        chosen = self.label == self.labels.index(label)
        return replace(self, first=self.first[chosen], trace=self.trace[chosen], label=self.label[chosen])


class WindowSums(NamedTuple):
    """Sums of rows by group and label, all that differences of means need."""

    sums: FloatArray
    """(t, g, d) float64."""
    counts: IntArray
    """(t, g) int64: rows in each sum."""
    labels: tuple[str, ...]


def find_windows(table: LabelTable, traces: Sequence[TraceInfo], offsets: tuple[int, int]) -> Windows:
    """Windows of all labelled sentences of a table.

    Args:
        table: sentences of one annotator.
        traces: all traces of the store, in order.
        offsets: first and last token, relative to the first token of the sentence.

    Raises:
        ConfigError: the last offset lies before the first.
    """
    low, high = offsets
    if high < low:
        raise ConfigError(f"window offsets go from first to last; got {low}..{high}")
    place = {info.id: i for i, info in enumerate(traces)}
    in_store = np.array([place[name] for name in table.trace_ids], dtype=np.int64)
    start = np.array([info.row_start for info in traces], dtype=np.int64)
    size = np.array([info.n_tokens for info in traces], dtype=np.int64)
    trace = in_store[table.trace] if len(table) else np.zeros(0, np.int64)
    token = table.spans["token_start"].astype(np.int64)
    labelled = table.label >= 0
    inside = (token + low >= 1) & (token + high < size[trace])
    chosen = np.flatnonzero(labelled & inside)
    chosen = chosen[np.lexsort((table.label[chosen], trace[chosen]))]
    return Windows(
        start[trace[chosen]] + token[chosen] + low,
        high - low + 1,
        trace[chosen],
        table.label[chosen].astype(np.int64),
        table.labels,
        int((labelled & ~inside).sum()),
        int((~labelled).sum()),
    )


def grouped_sums(
    windows: Windows, group: IntArray, n_groups: int, d: int, read: Callable[[IntArray], FloatArray]
) -> tuple[FloatArray, IntArray]:
    """Float64 sums of the rows of windows, by group; rows are read in bounded pieces, each one once.

    Args:
        windows: the windows.
        group: (w,) group of each window, in 0..n_groups-1, never falling.
        n_groups: number of groups.
        d: width.
        read: gives (m, d) float32 for m rows.

    Returns:
        (n_groups, d) float64 sums; (n_groups,) int64 numbers of rows.
    """
    sums = np.zeros((n_groups, d))
    step = max(1, _CHUNK_VALUES // (windows.length * d))
    for begin in range(0, len(group), step):
        piece = group[begin : begin + step]
        rows = (windows.first[begin : begin + step, None] + np.arange(windows.length)).reshape(-1)
        values = read(rows).astype(np.float64)
        starts = np.flatnonzero(np.diff(piece, prepend=-1))
        cuts = np.append(starts, len(piece)) * windows.length
        # adding up neighbouring rows as a sparse product: ten times the speed of numpy's reduceat, and as exact
        members = csr_array((np.ones(len(rows)), np.arange(len(rows)), cuts), shape=(len(starts), len(rows)))
        sums[piece[starts]] += members @ values
    return sums, np.bincount(group, minlength=n_groups) * windows.length
