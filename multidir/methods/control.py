"""Directions that should do nothing: random ones of equal norm, and those of shuffled labels.

A random direction asks whether any push of this size does it; a direction from permuted labels asks
whether it mattered which sentences had the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from multidir.errors import DesignError
from multidir.linalg.basis import random_units
from multidir.linalg.contrast import MeanRule, Reference, contrast
from multidir.methods.window_rules import Offsets
from multidir.records.direction import Direction
from multidir.records.site import Site
from multidir.types import BoolArray, FloatArray, IntArray, Role

if TYPE_CHECKING:
    from multidir.store.activations import ActivationStore
    from multidir.store.windows import Windows

_CHUNK_VALUES = 1 << 22


def random_directions(
    k: int, like: Direction, rng: np.random.Generator, factor: FloatArray | None = None
) -> list[Direction]:
    """Random directions with the site and the length of a given one.

    Args:
        k: How many.
        like: Lends site and length.
        rng: Source of randomness.
        factor: (r, d) float, centred activations: the draws then have their covariance. Uniform on the
            sphere when absent.
    Returns:
        `random-0`, `random-1`, ...; or `random-cov-0`, ... with a factor.
    """
    kind = "random" if factor is None else "random-cov"
    units = random_units(k, like.d, rng, factor)
    return [
        Direction(f"{kind}-{i}", unit, like.length, like.site, kind, {"like": like.name})
        for i, unit in enumerate(units)
    ]


def shuffled_directions(
    k: int,
    store: ActivationStore,
    role: Role,
    site: Site,
    annotator: str,
    label: str,
    offsets: Offsets,
    rng: np.random.Generator,
    mean: MeanRule = "token",
    reference: Reference = "all",
) -> list[Direction]:
    """Differences of means of the same windows, with the labels permuted among all sentences.

    The shuffled directions are sampling noise with the activations' covariance and
    no part of the real one. Permuting within traces would keep what differs between traces that backtrack much and
    little, the effect itself included.

    Args:
        k: How many.
        store: Activation store.
        role: Whose activations.
        site: Where.
        annotator: Whose labels.
        label: The positive class.
        offsets: Window, both ends included.
        rng: Source of the permutations.
        mean: Mean rule.
        reference: Reference set.
    Returns:
        `shuffled-0`, ...; each with its own length, so that their lengths are the null of the real one.
    Raises:
        DesignError: no sentence has the label.
    """
    windows = store.windows(annotator, offsets)
    positive = windows.label == (windows.labels.index(label) if label in windows.labels else -1)
    if not positive.any():
        raise DesignError(f"no sentence labelled {label!r} by {annotator} has a whole window; nothing to shuffle")
    values = _window_sums(store, role, site, windows)
    source = {
        "role": role,
        "label": label,
        "offsets": list(offsets),
        "annotator": annotator,
        "store": store.content_hash,
    }
    found = []
    for i in range(k):
        flags = _permuted(positive, rng)
        sums, counts = _by_class(values, flags, windows.trace, windows.length)
        vector = contrast(sums, counts, 0, mean, reference)
        found.append(Direction.from_vector(f"shuffled-{i}", vector, site, "shuffled", source))
    return found


def _permuted(values: BoolArray, rng: np.random.Generator) -> BoolArray:
    return values[np.argsort(rng.random(len(values)))]


def _window_sums(store: ActivationStore, role: Role, site: Site, windows: Windows) -> FloatArray:
    """(w, d) float64: the sum over each window's rows, read in pieces."""
    rows = windows.rows()
    pieces = np.array_split(rows, max(1, rows.size * store.d // _CHUNK_VALUES))
    sums = [store.rows(role, site, p.ravel()).reshape(*p.shape, store.d).sum(axis=1, dtype=np.float64) for p in pieces]
    return np.concatenate(sums)


def _by_class(values: FloatArray, positive: BoolArray, trace: IntArray, length: int) -> tuple[FloatArray, IntArray]:
    """Sums (t, 2, d) and counts (t, 2) by trace, positives first."""
    n, t = len(trace), int(trace.max()) + 1
    parts = [
        sparse.csr_array((flag.astype(np.float64), (trace, np.arange(n))), shape=(t, n))
        for flag in (positive, ~positive)
    ]
    sums = np.stack([part @ values for part in parts], axis=1)
    counts = np.stack([np.bincount(trace[flag], minlength=t) for flag in (positive, ~positive)], axis=1)
    return sums, counts * length
