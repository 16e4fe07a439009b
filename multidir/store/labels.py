"""Label tables: the sentences of one annotator as columns, in a file of their own beside the shards.

Another annotator, or a better one, adds or replaces such a file; activations are not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multidir.errors import AlignmentError, ConfigError
from multidir.records.text import Sentence
from multidir.store.direct import write_at
from multidir.store.shard_file import Column, allocate, as_bytes, as_texts, numeric, read_columns, texts
from multidir.store.spec import Key, TraceInfo, dataset_name
from multidir.types import FloatArray, IntArray

Raw = np.ndarray[Any, Any]

_SPANS = ("index", "char_start", "char_end", "token_start", "token_end")
_COLUMNS = ["sentences/trace", *(f"sentences/{name}" for name in _SPANS), "sentences/label", "labels", "traces"]
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Sentences as columns, ordered by trace and index."""

    annotator: str
    labels: tuple[str, ...]
    """Names, sorted."""
    trace_ids: tuple[str, ...]
    trace: IntArray
    """(s,) place in `trace_ids`."""
    spans: dict[str, IntArray]
    """(s,) each: index, char_start, char_end, token_start, token_end."""
    label: IntArray
    """(s,) place in `labels`; -1 for a sentence that is not labelled."""

    def __len__(self) -> int:
        return len(self.trace)

    def sentences(self) -> list[Sentence]:
        """The same as records."""
        spans = zip(*(self.spans[name].tolist() for name in _SPANS), strict=True)
        return [
            Sentence(self.trace_ids[t], i, c0, c1, t0, t1, self.labels[label] if label >= 0 else None, self.annotator)
            for t, label, (i, c0, c1, t0, t1) in zip(self.trace.tolist(), self.label.tolist(), spans, strict=True)
        ]


def make_table(annotator: str, sentences: Iterable[Sentence], traces: Sequence[TraceInfo]) -> LabelTable:
    """Columns of sentences that belong to the traces of a store.

    Raises:
        ConfigError: a sentence is of another annotator.
        AlignmentError: a trace is unknown, a span ends after its trace, or a sentence is there twice.
    """
    place = {info.id: i for i, info in enumerate(traces)}
    found = sorted(sentences, key=lambda s: (place.get(s.trace_id, -1), s.index))
    others = sorted({s.annotator for s in found} - {annotator})
    if others:
        raise ConfigError(
            f"sentences of {', '.join(others)} were given as labels of {annotator}; put each under its name"
        )
    problems = _misfits(found, place, traces)
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise AlignmentError(f"labels of {annotator} do not fit the store: {'; '.join(problems[:_SHOWN])}{more}")
    labels = tuple(sorted({s.label for s in found if s.label is not None}))
    code = {name: i for i, name in enumerate(labels)} | {None: -1}
    used = sorted({place[s.trace_id] for s in found})
    short = {traces[i].id: j for j, i in enumerate(used)}
    return LabelTable(
        annotator,
        labels,
        tuple(short),
        np.array([short[s.trace_id] for s in found], "<i4"),
        {name: np.array([getattr(s, name) for s in found], "<i4") for name in _SPANS},
        np.array([code[s.label] for s in found], "<i2"),
    )


def _misfits(sentences: list[Sentence], place: dict[str, int], traces: Sequence[TraceInfo]) -> list[str]:
    problems, seen = [], set()
    for s in sentences:
        if s.trace_id not in place:
            problems.append(f"trace {s.trace_id} is not in it")
        elif s.token_end > (n := traces[place[s.trace_id]].n_tokens):
            problems.append(f"trace {s.trace_id}, sentence {s.index} ends at token {s.token_end} of {n}")
        elif (s.trace_id, s.index) in seen:
            problems.append(f"trace {s.trace_id}, sentence {s.index} is there twice")
        seen.add((s.trace_id, s.index))
    return list(dict.fromkeys(problems))


def write_table(path: Path, table: LabelTable, sums: dict[Key, FloatArray], counts: IntArray | None) -> None:
    """Write a label file; the caller publishes it.

    Args:
        path: the file.
        table: the sentences.
        sums: per set of activations (shards, labels, d) float64, or nothing.
        counts: (shards, labels) rows in the sums.
    """
    numbers: dict[str, Raw] = {"sentences/trace": table.trace, "sentences/label": table.label}
    numbers |= {f"sentences/{name}": values for name, values in table.spans.items()}
    numbers |= {f"sums/{dataset_name(key)}": values for key, values in sums.items()}
    if counts is not None:
        numbers["counts"] = counts
    words = {"labels": as_bytes(list(table.labels)), "traces": as_bytes(list(table.trace_ids))}
    columns: dict[str, Column] = {name: numeric(values) for name, values in numbers.items()}
    columns |= {name: texts(values) for name, values in words.items()}
    offsets = allocate(path, columns, {"annotator": table.annotator})
    with path.open("rb+") as file:
        for name, values in {**numbers, **words}.items():
            if name in offsets:  # an empty column has no place in the file
                write_at(file.fileno(), None, offsets[name], values)


def read_table(path: Path, annotator: str) -> LabelTable:
    """Read a label file.

    Raises:
        FormatError: the file is not a label file.
    """
    found = read_columns(path, _COLUMNS)
    return LabelTable(
        annotator,
        tuple(as_texts(found["labels"])),
        tuple(as_texts(found["traces"])),
        found["sentences/trace"],
        {name: found[f"sentences/{name}"] for name in _SPANS},
        found["sentences/label"],
    )


def read_sums(path: Path, key: Key) -> tuple[FloatArray, IntArray]:
    """Sums (shards, labels, d) and row counts (shards, labels) of a label file."""
    name = f"sums/{dataset_name(key)}"
    found = read_columns(path, [name, "counts"])
    return found[name], found["counts"]
