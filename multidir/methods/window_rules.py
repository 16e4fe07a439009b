"""Which tokens stand for a sentence: windows before its start, by offsets or by the slices of the paper's code.

    -13:-8      the tokens start-13 .. start-8, both included
    six@-12     the slice of the code that made the published vectors, o-1 .. o+4: -13..-8
    five@-12    the slice of the code behind Figure 2, o-1 .. o+3: -13..-9

Windows are taken before every labelled sentence, whatever its label; the first sentences of a trace reach back into its
prompt. What happens to a window that leaves the text is a rule of its own.
Source: arXiv 2507.12638, section 3.1, and its code.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from multidir.errors import ConfigError
from multidir.records.site import Site
from multidir.store.windows import Windows, WindowSums, grouped_sums
from multidir.types import Role

if TYPE_CHECKING:
    from multidir.store.activations import ActivationStore

Offsets = tuple[int, int]
"""First and last token of a window, both included, relative to the sentence's first token: (-13, -8)."""

SLICES: dict[str, Offsets] = {"six": (-1, 4), "five": (-1, 3)}
"""What the code's two slices around an offset hold, relative to that offset."""

_WINDOW = re.compile(rf"(?P<first>-?\d+):(?P<last>-?\d+)|(?P<slice>{'|'.join(SLICES)})@(?P<around>-?\d+)")

Skip = Literal["whole", "code", "reply"]
"""`whole`: a window that would reach position 0 or leave its trace is left out. `code`: as in the paper's code, it is
left out only when it would begin before position 0, and cut where the trace ends. `reply`: as `whole`, and windows that
reach into the prompt are left out as well."""


def parse_window(text: str) -> Offsets:
    """Read `-13:-8`, `six@-12` or `five@-12`.

    Raises:
        ConfigError: none of the three, or a window that ends before it begins.
    """
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ConfigError(f"window {text!r} is not first:last, such as -13:-8, nor six@-12 or five@-12")
    if found["slice"]:
        low, high = SLICES[found["slice"]]
        return int(found["around"]) + low, int(found["around"]) + high
    window = int(found["first"]), int(found["last"])
    if window[1] < window[0]:
        raise ConfigError(f"window {text!r} ends before it begins")
    return window


def window_sums(
    store: ActivationStore, role: Role, site: Site, annotator: str, offsets: Offsets, skip: Skip = "whole"
) -> WindowSums:
    """Sums of the rows in the windows of labelled sentences, by trace and label, under a skip rule.

    Arguments and result as of `ActivationStore.window_sums`, which is the rule `whole`.
    """
    if skip == "whole":
        return store.window_sums(role, site, annotator, offsets)
    groups = windows_of(store, annotator, offsets, skip)
    t, labels = store.n_traces, groups[0].labels
    sums, counts = np.zeros((t * len(labels), store.d)), np.zeros(t * len(labels), dtype=np.int64)
    for windows in groups:
        group = windows.trace * len(labels) + windows.label
        found = grouped_sums(windows, group, len(counts), store.d, lambda rows: store.rows(role, site, rows))
        sums, counts = sums + found[0], counts + found[1]
    return WindowSums(sums.reshape(t, len(labels), store.d), counts.reshape(t, len(labels)), labels)


def windows_of(store: ActivationStore, annotator: str, offsets: Offsets, skip: Skip = "whole") -> list[Windows]:
    """The windows of all labelled sentences under a skip rule, as one group per length (one, unless some are cut).

    Raises:
        ConfigError: the annotator is not in the store.
    """
    if skip == "code":
        return _by_code(store, annotator, offsets)
    found = store.windows(annotator, offsets)
    if skip == "whole":
        return [found]
    n_prompt = np.array([info.row_start + info.n_prompt for info in store.traces], dtype=np.int64)
    kept = found.first >= n_prompt[found.trace]
    return [_chosen(found, kept)]


def _chosen(windows: Windows, kept: np.ndarray) -> Windows:
    return replace(
        windows,
        first=windows.first[kept],
        trace=windows.trace[kept],
        label=windows.label[kept],
        outside=windows.outside + int((~kept).sum()),
    )


def _by_code(store: ActivationStore, annotator: str, offsets: Offsets) -> list[Windows]:
    """Windows that begin at position 0 or later, cut at the end of their trace, grouped by what is left of them."""
    table = store.label_table(annotator)
    place = {info.id: i for i, info in enumerate(store.traces)}
    start = np.array([info.row_start for info in store.traces], dtype=np.int64)
    size = np.array([info.n_tokens for info in store.traces], dtype=np.int64)
    trace = np.array([place[name] for name in table.trace_ids], dtype=np.int64)[table.trace]
    token = table.spans["token_start"].astype(np.int64)
    length = np.minimum(token + offsets[1] + 1, size[trace]) - (token + offsets[0])
    labelled, begins = table.label >= 0, token + offsets[0] >= 0
    usable = labelled & begins & (length > 0)
    order = np.lexsort((table.label, trace))
    lengths = sorted({int(n) for n in length[usable]}, reverse=True) or [offsets[1] - offsets[0] + 1]
    found = []
    for n in lengths:
        chosen = order[(usable & (length == n))[order]]
        first = start[trace[chosen]] + token[chosen] + offsets[0]
        label = table.label[chosen].astype(np.int64)
        outside = int((labelled & ~usable).sum()) if n == lengths[0] else 0
        found.append(Windows(first, n, trace[chosen], label, table.labels, outside, int((~labelled).sum())))
    return found
