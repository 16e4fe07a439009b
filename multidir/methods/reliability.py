"""How well the data determine a direction: its norm, its two halves, and the cosine between two origins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from multidir.errors import AlignmentError
from multidir.linalg.angles import cosine, row_cosines
from multidir.linalg.contrast import MeanRule, Reference, contrasts
from multidir.methods.diffmeans import TraceSums
from multidir.stats.bootstrap import draw_weights, percentile_estimate, split_halves
from multidir.stats.estimate import Estimate
from multidir.stats.gram import denoised_cosine, denoised_norm
from multidir.types import BoolArray, FloatArray

_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Case:
    """One direction that can be found again on any weighting of the traces."""

    sums: TraceSums
    label: str
    among: BoolArray | None = None
    """(t,) traces that count; all when absent."""

    def vectors(self, weights: FloatArray, mean: MeanRule, reference: Reference) -> FloatArray:
        """(w, d) the vector under each of (w, t) weightings; nan where a weighting leaves a side without rows.

        Raises:
            DesignError: the label has no rows.
        """
        counted = weights if self.among is None else weights * self.among
        found: FloatArray = contrasts(
            self.sums.sums, self.sums.counts, self.sums.index(self.label), counted, mean, reference
        )
        return found

    @property
    def n_traces(self) -> int:
        """How many traces count."""
        return len(self.sums.counts) if self.among is None else int(self.among.sum())


@dataclass(frozen=True)
class Reliability:
    """Estimates for several directions over the same traces (two models, say), by key."""

    raw_norm: dict[str, float]
    """Norm as found, noise included: the `length` of the direction."""
    norm: dict[str, Estimate]
    """Norm without sampling noise."""
    split_half: dict[str, Estimate]
    """Mean cosine between directions from random halves of the traces. Its range is the spread over
    splits, not a confidence interval."""
    raw_cosine: dict[tuple[str, str], float]
    """Cosine as found, as papers report it, for every pair of keys in the order given."""
    cosine: dict[tuple[str, str], Estimate]
    """Cosine without sampling noise."""


def direction_estimates(
    cases: Mapping[str, Case],
    rng: np.random.Generator,
    draws: int = 1000,
    mean: MeanRule = "token",
    reference: Reference = "all",
    level: float = 0.95,
    splits: int = 200,
) -> Reliability:
    """Norms, split-half cosines and mutual cosines of directions, resampling traces.

    All keys are resampled together, because two models that read the same traces share their noise.

    Args:
        cases: Directions over the same traces, by a key of your choice (role, window, label).
        rng: Source of draws and splits.
        draws: Bootstrap resamples.
        mean: Mean rule.
        reference: Reference set.
        level: Coverage wanted.
        splits: Random halves; 0 for none.
    Raises:
        AlignmentError: the sums are over different numbers of traces or of different widths.
        DesignError: a label has no rows, or no rows among the traces that count.
    """
    keys, t = list(cases), _common_traces(cases)
    found = vectors_of(cases, np.ones((1, t)), mean, reference)[0]
    observed, drawn = found @ found.T, _grams(cases, draw_weights(t, draws, rng), mean, reference)
    halves = _split_half(cases, *split_halves(t, splits, rng), mean, reference) if t > 1 and splits else None
    pairs = [(i, j) for i in range(len(keys)) for j in range(i + 1, len(keys))]
    n = [case.n_traces for case in cases.values()]
    return Reliability(
        raw_norm={key: float(np.linalg.norm(v)) for key, v in zip(keys, found, strict=True)},
        norm={key: denoised_norm(observed, drawn, i, n[i], level) for i, key in enumerate(keys)},
        split_half={key: _spread(halves[:, i], n[i], level) for i, key in enumerate(keys)}
        if halves is not None
        else {},
        raw_cosine={(keys[i], keys[j]): cosine(found[i], found[j]) for i, j in pairs},
        cosine={(keys[i], keys[j]): denoised_cosine(observed, drawn, i, j, min(n[i], n[j]), level) for i, j in pairs},
    )


def vectors_of(cases: Mapping[str, Case], weights: FloatArray, mean: MeanRule, reference: Reference) -> FloatArray:
    """(w, k, d) vectors of each case under each of (w, t) weightings of the traces."""
    return np.stack([case.vectors(weights, mean, reference) for case in cases.values()], axis=1)


def _grams(cases: Mapping[str, Case], weights: FloatArray, mean: MeanRule, reference: Reference) -> FloatArray:
    """(w, k, k) inner products under each weighting, in blocks."""
    blocks = (weights[i : i + _BLOCK] for i in range(0, len(weights), _BLOCK))
    vectors = (vectors_of(cases, block, mean, reference) for block in blocks)
    return np.concatenate([v @ v.transpose(0, 2, 1) for v in vectors])


def _split_half(
    cases: Mapping[str, Case], first: FloatArray, second: FloatArray, mean: MeanRule, reference: Reference
) -> FloatArray:
    """(splits, k) cosines between the two halves; nan where a half has no row of the label."""
    one, other = (vectors_of(cases, half, mean, reference) for half in (first, second))
    return np.stack([row_cosines(one[:, i], other[:, i]) for i in range(one.shape[1])], axis=1)


def _spread(values: FloatArray, t: int, level: float) -> Estimate:
    """Mean over splits and their central range."""
    known = values[~np.isnan(values)]
    centre = float(known.mean()) if known.size else float("nan")
    return percentile_estimate(centre, values, t, level, "range over random halves", "split-half cosine")


def _common_traces(cases: Mapping[str, Case]) -> int:
    """The number of traces that all cases share."""
    shapes = {key: (int(c.sums.sums.shape[0]), int(c.sums.sums.shape[2])) for key, c in cases.items()}
    if len(set(shapes.values())) != 1:
        listed = ", ".join(f"{key} {t} traces of width {d}" for key, (t, d) in shapes.items()) or "none at all"
        raise AlignmentError(f"directions can be compared only over the same traces at one width, got {listed}")
    return next(iter(shapes.values()))[0]
