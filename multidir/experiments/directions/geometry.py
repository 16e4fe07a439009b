"""How directions lie to each other: cosines and principal angles between models, layers, offsets, labels, categories.

Single directions are compared by cosine, with intervals over traces. Spans of several directions are compared by
principal angles, beside two levels: `noise`, the angles between the same span found in two random halves of the traces
(half the traces have more noise than all, so that noise does less than this), and `random`, those between random spans
of equal dimension.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from multidir.errors import ConfigError
from multidir.experiments.directions.geometry_pairs import Geometry, Span, label_span, single_directions, span_pairs
from multidir.linalg.angles import effective_rank, principal_angles
from multidir.linalg.basis import orthonormal_basis, random_units
from multidir.methods.reliability import direction_estimates, vectors_of
from multidir.progress import each
from multidir.stats.bootstrap import split_halves
from multidir.types import FloatArray

RANK_CUT = 1e-8
"""Singular values below this share of the largest are rounding: sums are made in float64."""

_REPEATS = 20
"""Random halves, and random spans, behind the two levels of principal angles."""


def geometry_tables(geometry: Geometry) -> dict[str, pd.DataFrame]:
    """`cosines`, `angles` and `spans`, see `cosine_rows`, `angle_rows` and `span_rows`.

    Raises:
        ConfigError: the home site or window is not among those given.
        DesignError: no sentence has the home label.
    """
    g = geometry
    if g.home.site not in g.store.sites or g.home.window not in g.windows:
        raise ConfigError(
            f"home is {g.home.site} and window {g.home.window[0]}:{g.home.window[1]}; the store holds "
            f"{', '.join(map(str, g.store.sites))}, the windows are {', '.join(f'{a}:{b}' for a, b in g.windows)}"
        )
    tables = {"cosines": cosine_rows(g), "angles": angle_rows(g), "spans": span_rows(g)}
    return {name: pd.DataFrame(list(rows)) for name, rows in tables.items()}


def cosine_rows(g: Geometry) -> Iterator[dict[str, Any]]:
    """One row per pair: axis, within (what stays), a, b, cosine with interval (noise removed), and as found."""
    for axis, within, cases in each(single_directions(g), "cosines", "group"):
        rng = np.random.default_rng(g.seed)
        found = direction_estimates(cases, rng, g.draws, g.means.mean, g.means.reference, splits=0)
        for (a, b), estimate in found.cosine.items():
            yield {
                "axis": axis,
                "within": within,
                "a": a,
                "b": b,
                "cosine": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "raw_cosine": found.raw_cosine[a, b],
                "n_traces": estimate.n,
            }


def angle_rows(g: Geometry) -> Iterator[dict[str, Any]]:
    """One row per pair and angle: axis, within, a, b, number (smallest first), degrees, and both levels."""
    for axis, within, a, b, first, second in span_pairs(g):
        one, other = (_matrix(span, g) for span in (first, second))
        angles = np.degrees(principal_angles(one, other, RANK_CUT))
        noise = _noise(g, first, second)
        ranks = [len(orthonormal_basis(x, RANK_CUT)) for x in (one, other)]
        random = _random_level(g.store.d, ranks[0], ranks[1], np.random.default_rng(g.seed))
        for number, degrees in enumerate(angles):
            yield {
                "axis": axis,
                "within": within,
                "a": a,
                "b": b,
                "number": number + 1,
                "degrees": float(degrees),
                "noise_degrees": float(noise[number]) if number < len(noise) else np.nan,
                "random_degrees": float(random[number]),
                "dimensions_a": ranks[0],
                "dimensions_b": ranks[1],
            }


def span_rows(g: Geometry) -> Iterator[dict[str, Any]]:
    """The span of all labels' directions at each site (home window) and window (home site).

    `zero_sum` is the length of the count-weighted sum of the vectors over the sum of their weighted lengths: 0 up to
    rounding when all tokens are pooled and positives stay in the reference, and then the rank is one less than the
    number of labels.
    """
    places = [(site, g.home.window) for site in g.store.sites]
    places += [(g.home.site, window) for window in g.windows if window != g.home.window]
    for role in g.store.roles:
        for site, window in places:
            read = g.sums(role, site, window)
            vectors = _matrix(label_span(read), g)
            rows = np.array([read.counts[:, read.index(label)].sum() for label in read.present])
            weighted = rows[:, None] * vectors
            yield {
                "role": str(role),
                "site": str(site),
                "offset_lo": window[0],
                "offset_hi": window[1],
                "labels": len(vectors),
                "rank": len(orthonormal_basis(vectors, RANK_CUT)),
                "effective_rank": effective_rank(vectors),
                "zero_sum": float(np.linalg.norm(weighted.sum(axis=0)) / np.linalg.norm(weighted, axis=1).sum()),
            }


def _matrix(span: Span, g: Geometry) -> FloatArray:
    found: FloatArray = vectors_of(span, np.ones((1, g.store.n_traces)), g.means.mean, g.means.reference)[0]
    return found


def _noise(g: Geometry, first: Span, second: Span) -> FloatArray:
    """(r,) degrees: mean angles between a span and itself in two random halves, over both spans."""
    halves = split_halves(g.store.n_traces, _REPEATS, np.random.default_rng(g.seed))
    found = []
    for span in (first, second):
        one, other = (vectors_of(span, half, g.means.mean, g.means.reference) for half in halves)
        known = ~np.isnan(one).any(axis=(1, 2)) & ~np.isnan(other).any(axis=(1, 2))
        pairs = zip(one[known], other[known], strict=True)
        found += [np.degrees(principal_angles(x, y, RANK_CUT)) for x, y in pairs]
    if not found:
        return np.zeros(0)
    r = min(len(angles) for angles in found)
    mean: FloatArray = np.mean([angles[:r] for angles in found], axis=0)
    return mean


def _random_level(d: int, a: int, b: int, rng: np.random.Generator) -> FloatArray:
    """(min(a, b),) degrees: mean principal angles between random spans."""
    pairs = ((random_units(a, d, rng), random_units(b, d, rng)) for _ in range(_REPEATS))
    level: FloatArray = np.mean([np.degrees(principal_angles(x, y)) for x, y in pairs], axis=0)
    return level


def headline(tables: dict[str, pd.DataFrame], label: str) -> str:
    """The agreement of the two models on the label, and the dimensions of all labels together."""
    cosines, spans = tables["cosines"], tables["spans"]
    first = spans.iloc[0]
    parts = [f"the directions of {first['labels']} labels span {first['rank']} dimensions"]
    between = cosines[(cosines["axis"] == "model") & (cosines["within"] == label)] if len(cosines) else cosines
    parts += [
        f"the two models' {label} directions have cosine {value:.2f} [{low:.2f}, {high:.2f}]"
        for value, low, high in zip(between["cosine"], between["low"], between["high"], strict=True)
    ]
    return "; ".join(parts)
