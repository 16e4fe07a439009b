"""Difference of class means: the direction from the tokens before any sentence to those before backtracking.

    v = mean(windows before the label) - mean(windows before all labelled sentences)

A window is a range of token offsets from a sentence's first token. All that is read are sums of rows per
(trace, label); direction, other labels and every resample of traces come from those. With the mean rule "token" and the
reference "all", the count-weighted sum of the label vectors is zero: g labels span g - 1 dimensions.
Source: arXiv 2507.12638, Eq. 3 and section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from multidir.errors import DesignError
from multidir.linalg.contrast import MeanRule, Reference, contrast
from multidir.methods.window_rules import Offsets, Skip, window_sums
from multidir.records.direction import Direction
from multidir.records.site import Site
from multidir.types import FloatArray, IntArray, Role

if TYPE_CHECKING:
    from multidir.store.activations import ActivationStore


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
    skip: Skip = "whole"
    """What happens to windows that leave the text."""

    @classmethod
    def read(
        cls, store: ActivationStore, role: Role, site: Site, annotator: str, offsets: Offsets, skip: Skip = "whole"
    ) -> TraceSums:
        """Read them once for all labels."""
        sums, counts, labels = window_sums(store, role, site, annotator, offsets, skip)
        return cls(role, site, annotator, offsets, sums, counts, tuple(labels), store.content_hash, skip)

    @property
    def where(self) -> str:
        """Role, site and window in words."""
        return f"{self.role} {self.site} {self.offsets[0]}..{self.offsets[1]}"

    @property
    def present(self) -> tuple[str, ...]:
        """Labels that have rows here, and other rows to be told from."""
        rows = self.counts.sum(axis=0)
        return tuple(name for name, n in zip(self.labels, rows, strict=True) if 0 < n < rows.sum())

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

    def against(self, label: str) -> TraceSums:
        """The same sums with all other labels as one, which is all that a direction of this label needs.

        Raises:
            DesignError: the label has no rows.
        """
        i = self.index(label)
        pairs = [np.stack([x[:, i], x.sum(axis=1) - x[:, i]], axis=1) for x in (self.sums, self.counts)]
        return replace(self, sums=pairs[0], counts=pairs[1], labels=(label, "other"))

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
            "skip": self.skip,
            "store": self.store,
            "traces": int((self.counts[:, i] > 0).sum()),
            "rows": int(self.counts[:, i].sum()),
        }
        full = name or f"{self.role}/{label} {self.site} {self.offsets[0]}..{self.offsets[1]}"
        return Direction.from_vector(full, np.asarray(vector), self.site, "diffmeans", source)
