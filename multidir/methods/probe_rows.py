"""What probes learn from: labelled sentences, the tokens before them, and the groups that must not be split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from multidir.errors import DesignError
from multidir.methods.window_rules import Offsets, windows_of
from multidir.records.site import Site
from multidir.types import BoolArray, FloatArray, IntArray, Role

if TYPE_CHECKING:
    from multidir.store.activations import ActivationStore


@dataclass(frozen=True, eq=False)
class ProbeRows:
    """n sentences whose tokens at all offsets are in the reply; the same ones at every offset, site and model."""

    start: IntArray
    """(n,) row of each sentence's first token in the store."""
    offsets: Offsets
    """First and last offset that every sentence has."""
    positive: BoolArray
    """(n,) whether the sentence has the label."""
    trace: IntArray
    """(n,) place of its trace in the store."""
    group: IntArray
    """(n,) its prompt; prompts that share a trace, token by token, are one group."""
    index: IntArray
    """(n,) which sentence of its trace it is."""
    position: IntArray
    """(n,) tokens of the reply before it."""
    category: IntArray
    """(n,) place in `categories`."""
    categories: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """What a reader must know: prompts that were taken as one, sentences that were left out."""

    def __len__(self) -> int:
        return len(self.start)

    def read(self, store: ActivationStore, role: Role, site: Site, offset: int) -> FloatArray:
        """(n, d) float32 activations at one offset."""
        return store.rows(role, site, self.start + offset)


def find_rows(store: ActivationStore, annotator: str, label: str, offsets: Offsets, category: str = "") -> ProbeRows:
    """All labelled sentences that have every token of a window of offsets within the reply.

    Args:
        store: activations with labels.
        annotator: whose.
        label: the positive class.
        offsets: first and last token relative to the sentence's first, both included.
        category: only prompts of this category, where one is named.
    Raises:
        DesignError: no sentence with the label, or none without it, has all offsets.
    """
    windows = windows_of(store, annotator, offsets, "reply")[0]
    names = np.array([info.category for info in store.traces])
    kept = np.flatnonzero((names == category)[windows.trace]) if category else np.arange(len(windows.trace))
    start, trace = windows.first[kept] - offsets[0], windows.trace[kept]
    positive = np.array([windows.labels[i] == label for i in windows.label[kept]], dtype=bool)
    if not positive.any() or positive.all():
        where = f" of category {category}" if category else ""
        there = f"labels {', '.join(windows.labels)}"
        there += f"; categories {', '.join(np.unique(names))}" if category else ""
        raise DesignError(
            f"{store.path}: {int(positive.sum())} of the {len(kept)} sentences{where} that have the tokens "
            f"{offsets[0]}..{offsets[1]} in their reply are labelled {label!r} by {annotator}; a probe needs both "
            f"kinds. There are {there}. Check these, or take offsets closer to the sentence"
        )
    group, remarks = prompt_groups(store)
    reply = np.array([info.row_start + info.n_prompt for info in store.traces], dtype=np.int64)
    categories, category_of = np.unique(names, return_inverse=True)
    if windows.outside:
        remarks += (
            f"{windows.outside} labelled sentences lack a token of {offsets[0]}..{offsets[1]} and are left out",
        )
    return ProbeRows(
        start,
        offsets,
        positive,
        trace,
        group[trace],
        _sentence_index(store, annotator, start),
        start - reply[trace],
        category_of[trace],
        tuple(map(str, categories)),
        remarks,
    )


def prompt_groups(store: ActivationStore) -> tuple[IntArray, tuple[str, ...]]:
    """(t,) group of every trace: its prompt, where prompts with token-identical traces are joined; and what was joined.

    A trace that stands under two prompts would otherwise be learned under one and predicted under the other.
    """
    _, group = np.unique([info.prompt_id for info in store.traces], return_inverse=True)
    group = group.astype(np.int64)
    seen: dict[bytes, int] = {}
    joined: list[str] = []
    for place, info in enumerate(store.traces):
        key = np.ascontiguousarray(store.token_ids[info.row_start : info.row_end]).tobytes()
        first = seen.setdefault(key, place)
        if group[first] != group[place]:
            joined.append(f"{store.traces[first].id} = {info.id}")
            group[group == group[place]] = group[first]
    if not joined:
        return group, ()
    shown = ", ".join(joined[:3]) + (", ..." if len(joined) > 3 else "")
    return group, (f"{len(joined)} traces are duplicates of a trace of another prompt, taken as one group: {shown}",)


def _sentence_index(store: ActivationStore, annotator: str, start: IntArray) -> IntArray:
    """(n,) index in its trace of the sentence that starts at a row of the store."""
    table = store.label_table(annotator)
    begin = np.array([store.info(name).row_start for name in table.trace_ids], dtype=np.int64)
    rows = begin[table.trace] + table.spans["token_start"]
    order = np.argsort(rows, kind="stable")
    found: IntArray = table.spans["index"][order][np.searchsorted(rows[order], start)]
    return found
