"""Difference of class means: the direction from the tokens before any sentence to those before backtracking.

    v = mean(windows before the label) - mean(windows before all labelled sentences)

A window is a range of token offsets from a sentence's first token. All that is read are sums of rows per
(trace, label); direction, other labels and every resample of traces come from those.
Source: arXiv 2507.12638, Eq. 3 and section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multidir.errors import DesignError
from multidir.linalg.contrast import MeanRule, Reference, contrast
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.types import FloatArray, IntArray, Role

if TYPE_CHECKING:
    from multidir.store.activations import ActivationStore

Offsets = tuple[int, int]
"""First and last token of a window, both included, relative to the sentence's first token: (-13, -8)."""


@dataclass(frozen=True, eq=False)
class TraceSums:
    """Sums of activations in the windows before sentences, by trace and label, with where they are from."""

    role: Role
    site: Site
    annotator: str
    offsets: Offsets
    sums: FloatArray
    """(t, g, d) float64."""
    counts: IntArray
    """(t, g) rows in each sum."""
    labels: tuple[str, ...]
    store: str = ""
    """Content hash of the store."""

    @classmethod
    def read(cls, store: ActivationStore, role: Role, site: Site, annotator: str, offsets: Offsets) -> TraceSums:
        """Read them once for all labels."""
        sums, counts, labels = store.window_sums(role, site, annotator, offsets)
        return cls(role, site, annotator, offsets, sums, counts, tuple(labels), store.content_hash)

    @property
    def where(self) -> str:
        """Role, site and window in words."""
        return f"{self.role} {self.site} {self.offsets[0]}..{self.offsets[1]}"

    def index(self, label: str) -> int:
        """Position of a label that has rows.

        Raises:
            DesignError: it has none; the message says which labels do.
        """
        rows = dict(zip(self.labels, self.counts.sum(axis=0).tolist(), strict=True))
        if not rows.get(label):
            there = ", ".join(f"{name} {n}" for name, n in rows.items() if n) or "no label has any"
            raise DesignError(
                f"no {label!r} row of annotator {self.annotator} in window {self.where} ({there}); label more traces, "
                "or choose another label or window"
            )
        return self.labels.index(label)

    def direction(
        self, label: str, mean: MeanRule = "token", reference: Reference = "all", name: str = ""
    ) -> Direction:
        """Difference of means for one label, as a direction that knows its origin.

        Args:
            label: The positive class.
            mean: Mean rule, as in `linalg.contrast`.
            reference: Reference set, as in `linalg.contrast`.
            name: `<role>/<label> <site> <window>` when absent.
        Raises:
            DesignError: the label has no rows, or its mean equals the reference mean.
        """
        i = self.index(label)
        vector = contrast(self.sums, self.counts, i, mean, reference)
        source: dict[str, Any] = {
            "role": self.role,
            "label": label,
            "offsets": list(self.offsets),
            "annotator": self.annotator,
            "mean": mean,
            "reference": reference,
            "store": self.store,
            "traces": int((self.counts[:, i] > 0).sum()),
            "rows": int(self.counts[:, i].sum()),
        }
        full = name or f"{self.role}/{label} {self.site} {self.offsets[0]}..{self.offsets[1]}"
        return Direction.from_vector(full, np.asarray(vector), self.site, "diffmeans", source)


def diffmeans(
    store: ActivationStore,
    role: Role,
    site: Site,
    annotator: str,
    label: str,
    offsets: Offsets,
    mean: MeanRule = "token",
    reference: Reference = "all",
) -> Direction:
    """One difference-of-means direction, in residual-stream units.

    Args:
        store: Activation store with labels of the annotator.
        role: Whose activations.
        site: Where.
        annotator: Whose labels, such as `grammar/1`.
        label: The positive class.
        offsets: Window, both ends included; windows that begin before position 1 are left out by the store.
        mean: `token` (every row alike) or `trace` (mean of per-trace means).
        reference: `all` (positives included) or `rest`.
    Raises:
        DesignError: the label has no rows there.
    """
    return TraceSums.read(store, role, site, annotator, offsets).direction(label, mean, reference)


def diffmeans_table(
    store: ActivationStore,
    roles: Sequence[Role],
    sites: Sequence[Site],
    annotator: str,
    labels: Sequence[str],
    windows: Sequence[Offsets],
    mean: MeanRule = "token",
    reference: Reference = "all",
) -> DirectionSet:
    """Directions of every role, site, window and label; the sums of each window are read once.

    Arguments as in `diffmeans`, in lists.
    """
    return DirectionSet(
        read.direction(label, mean, reference)
        for role in roles
        for site in sites
        for window in windows
        for read in [TraceSums.read(store, role, site, annotator, window)]
        for label in labels
    )
