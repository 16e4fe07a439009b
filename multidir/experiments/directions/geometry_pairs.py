"""What is compared in the geometry of directions: one thing is varied at a time and the rest stays at home.

Single directions are compared along all pairs. Spans are compared against home (a category against all others): the
span of all labels' directions, and for one label that of its directions in all windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from multidir.experiments.directions.find import choose_annotator
from multidir.experiments.settings import Means
from multidir.methods.diffmeans import TraceSums
from multidir.methods.reliability import Case
from multidir.methods.window_rules import Offsets
from multidir.records.site import Site
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, Role

Span = Mapping[str, Case]
"""Directions whose span is meant, by name."""


@dataclass(frozen=True)
class Home:
    """Where everything stays that is not varied."""

    site: Site
    window: Offsets
    label: str


@dataclass(frozen=True)
class Geometry:
    """What is compared, and how."""

    store: ActivationStore
    home: Home
    windows: Sequence[Offsets]
    means: Means
    draws: int
    seed: int
    min_traces: int = 3
    """A category takes part when at least this many of its traces hold the label."""
    _read: dict[Any, TraceSums] = field(default_factory=dict)

    def sums(self, role: Role, site: Site, window: Offsets) -> TraceSums:
        """Window sums; those at home are kept."""
        key = (role, site, window)
        if key in self._read:
            return self._read[key]
        read = TraceSums.read(self.store, role, site, choose_annotator(self.store), window, self.means.skip)
        if site == self.home.site:
            self._read[key] = read
        return read

    def at_home(self, role: Role) -> TraceSums:
        """Sums at the home site and window."""
        return self.sums(role, self.home.site, self.home.window)

    @cached_property
    def categories(self) -> dict[str, BoolArray]:
        """Traces of each category that holds enough of the home label."""
        names = np.array([info.category for info in self.store.traces])
        read = self.at_home(self.store.roles[0])
        hits = read.counts[:, read.index(self.home.label)] > 0
        return {str(name): names == name for name in sorted(set(names)) if hits[names == name].sum() >= self.min_traces}


def single_directions(g: Geometry) -> Iterator[tuple[str, str, dict[str, Case]]]:
    """(axis, what stays, the directions to compare), for axes along which there are at least two."""
    label, home = g.home.label, {role: g.at_home(role) for role in g.store.roles}
    for name in next(iter(home.values())).present:
        yield from _if_several("model", name, {str(role): Case(read, name) for role, read in home.items()})
    for role, read in home.items():
        yield from _if_several("label", str(role), {name: Case(read, name) for name in read.present})
        sites = {str(s): Case(g.sums(role, s, g.home.window).against(label), label) for s in sorted(g.store.sites)}
        yield from _if_several("site", str(role), sites)
        windows = {window_text(w): Case(g.sums(role, g.home.site, w).against(label), label) for w in sorted(g.windows)}
        yield from _if_several("window", str(role), windows)
        yield from _if_several("category", str(role), {c: Case(read, label, m) for c, m in g.categories.items()})


def _if_several(axis: str, within: str, cases: dict[str, Case]) -> Iterator[tuple[str, str, dict[str, Case]]]:
    if len(cases) > 1:
        yield axis, within, cases


def span_pairs(g: Geometry) -> Iterator[tuple[str, str, str, str, Span, Span]]:
    """(axis, what stays, a, b, span of a, span of b): everything against home, a category against all others."""
    roles, home = g.store.roles, {role: g.at_home(role) for role in g.store.roles}
    if len(roles) > 1:
        for site in sorted(g.store.sites):
            a, b = (label_span(g.sums(role, site, g.home.window)) for role in roles)
            yield "model", str(site), str(roles[0]), str(roles[1]), a, b
    for role, read in home.items():
        within, here = str(role), label_span(read)
        for site in sorted(set(g.store.sites) - {g.home.site}):
            yield "site", within, str(g.home.site), str(site), here, label_span(g.sums(role, site, g.home.window))
        for window in sorted(set(g.windows) - {g.home.window}):
            there = label_span(g.sums(role, g.home.site, window))
            yield "window", within, window_text(g.home.window), window_text(window), here, there
        over_windows = {name: label_in_windows(g, role, name) for name in read.present}
        if len(g.windows) > 1:
            mine = over_windows.pop(g.home.label)
            for name, span in over_windows.items():
                yield "label", within, g.home.label, name, mine, span
        for name, among in g.categories.items():
            kept = label_span(read, among), label_span(read, ~among)
            both = set(kept[0]) & set(kept[1])
            spans = [{key: case for key, case in span.items() if key in both} for span in kept]
            if both:
                yield "category", within, name, "all others", spans[0], spans[1]


def label_span(read: TraceSums, among: BoolArray | None = None) -> Span:
    """The directions of all labels, over all traces or those in which each of them occurs."""
    rows = read.counts if among is None else read.counts[among]
    return {name: Case(read, name, among) for name in read.present if rows[:, read.index(name)].any()}


def label_in_windows(g: Geometry, role: Role, label: str) -> Span:
    """The directions of one label in all windows of the home site that have it."""
    reads = {window_text(window): g.sums(role, g.home.site, window) for window in g.windows}
    return {name: Case(read.against(label), label) for name, read in reads.items() if label in read.present}


def window_text(window: Offsets) -> str:
    """A window as tables name it: `-13..-8`."""
    return f"{window[0]}..{window[1]}"
