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
from multidir.types import FloatArray

_BLOCK = 256


@dataclass(frozen=True)
class Reliability:
    """Estimates for one label in several window sums over the same traces (two models, say)."""

    raw_norm: dict[str, float]
    """Norm as found, noise included, by key: the `length` of the direction."""
    norm: dict[str, Estimate]
    """Norm without sampling noise."""
    split_half: dict[str, Estimate]
    """Mean cosine between directions from random halves of the traces. Its range is the spread over
    splits, not a confidence interval."""
    raw_cosine: dict[tuple[str, str], float]
    """Cosine as found, as papers report it, for every pair of keys."""
    cosine: dict[tuple[str, str], Estimate]
    """Cosine without sampling noise."""


def direction_estimates(
    sums: Mapping[str, TraceSums],
    label: str,
    rng: np.random.Generator,
    draws: int = 1000,
    mean: MeanRule = "token",
    reference: Reference = "all",
    level: float = 0.95,
    splits: int = 200,
) -> Reliability:
    """Norms, split-half cosines and mutual cosines of one label's directions, resampling traces.

    All keys are resampled together, because two models that read the same traces share their noise.

    Args:
        sums: Window sums over the same traces, by a key of your choice (role, window, site).
        label: The positive class.
        rng: Source of draws and splits.
        draws: Bootstrap resamples.
        mean: Mean rule.
        reference: Reference set.
        level: Coverage wanted.
        splits: Random halves.
    Raises:
        AlignmentError: the sums are over different numbers of traces or of different widths.
        DesignError: the label has no rows in one of them.
    """
    keys, t = list(sums), _common_traces(sums)
    one = np.ones((1, t))
    found = _vectors(sums, label, one, mean, reference)[0]
    observed, drawn = found @ found.T, _grams(sums, label, draw_weights(t, draws, rng), mean, reference)
    halves = _split_half(sums, label, *split_halves(t, splits, rng), mean, reference) if t > 1 else None
    pairs = [(i, j) for i in range(len(keys)) for j in range(i + 1, len(keys))]
    return Reliability(
        raw_norm={key: float(np.linalg.norm(v)) for key, v in zip(keys, found, strict=True)},
        norm={key: denoised_norm(observed, drawn, i, t, level) for i, key in enumerate(keys)},
        split_half={key: _spread(halves[:, i], t, level) for i, key in enumerate(keys)} if halves is not None else {},
        raw_cosine={(keys[i], keys[j]): cosine(found[i], found[j]) for i, j in pairs},
        cosine={(keys[i], keys[j]): denoised_cosine(observed, drawn, i, j, t, level) for i, j in pairs},
    )


def _vectors(
    sums: Mapping[str, TraceSums], label: str, weights: FloatArray, mean: MeanRule, reference: Reference
) -> FloatArray:
    """(w, k, d) vectors of each key under each weighting of the traces."""
    return np.stack(
        [contrasts(s.sums, s.counts, s.index(label), weights, mean, reference) for s in sums.values()], axis=1
    )


def _grams(
    sums: Mapping[str, TraceSums], label: str, weights: FloatArray, mean: MeanRule, reference: Reference
) -> FloatArray:
    """(w, k, k) inner products under each weighting, in blocks."""
    blocks = (weights[i : i + _BLOCK] for i in range(0, len(weights), _BLOCK))
    vectors = (_vectors(sums, label, block, mean, reference) for block in blocks)
    return np.concatenate([v @ v.transpose(0, 2, 1) for v in vectors])


def _split_half(
    sums: Mapping[str, TraceSums],
    label: str,
    first: FloatArray,
    second: FloatArray,
    mean: MeanRule,
    reference: Reference,
) -> FloatArray:
    """(splits, k) cosines between the two halves; nan where a half has no row of the label."""
    one, other = (_vectors(sums, label, half, mean, reference) for half in (first, second))
    return np.stack([row_cosines(one[:, i], other[:, i]) for i in range(one.shape[1])], axis=1)


def _spread(values: FloatArray, t: int, level: float) -> Estimate:
    """Mean over splits and their central range."""
    known = values[~np.isnan(values)]
    centre = float(known.mean()) if known.size else float("nan")
    return percentile_estimate(centre, values, t, level, "range over random halves", "split-half cosine")


def _common_traces(sums: Mapping[str, TraceSums]) -> int:
    """The number of traces that all sums share."""
    shapes = {key: (int(s.sums.shape[0]), int(s.sums.shape[2])) for key, s in sums.items()}
    if len(set(shapes.values())) != 1:
        listed = ", ".join(f"{key} {t} traces of width {d}" for key, (t, d) in shapes.items()) or "none at all"
        raise AlignmentError(f"directions can be compared only over the same traces at one width, got {listed}")
    return next(iter(shapes.values()))[0]
