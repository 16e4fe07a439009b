"""How projections lie along traces, as tables: histograms by group of tokens, alarms at thresholds, profiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from multidir.experiments.density.project import Projected
from multidir.stats.estimate import Estimate
from multidir.stats.proportions import ratio_of_sums
from multidir.stats.ranking import auroc_estimate
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, FloatArray, IntArray

BINS = 60
THRESHOLDS = (0.25, 0.5, 0.75)
"""Quantiles of the tokens before the label at which alarms are counted."""

GROUPS = ("all tokens", "before the label", "before other sentences", "keywords")


def density_rows(found: Projected, counted: BoolArray, keywords: BoolArray) -> Iterator[dict[str, Any]]:
    """Histogram of the projection in each group of tokens: role, group, bin_low, bin_high, count, share, median.

    Args:
        found: projections.
        counted: (n,) tokens that take part.
        keywords: (n,) tokens whose text holds a keyword.
    """
    first, last = np.quantile(found.z[counted], [0.001, 0.999]).tolist()
    edges = np.linspace(first, last, BINS + 1)
    masks = (counted, found.before & counted, found.elsewhere & counted, keywords & counted)
    for group, mask in zip(GROUPS, masks, strict=True):
        values = found.z[mask]
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
        for low, high, n in zip(edges, edges[1:], counts, strict=False):
            yield {
                "role": str(found.role),
                "group": group,
                "bin_low": float(low),
                "bin_high": float(high),
                "count": int(n),
                "share": n / len(values) if len(values) else np.nan,
                "median": float(np.median(values)) if len(values) else np.nan,
            }


def alarm_rows(
    found: Projected, counted: BoolArray, announcing: BoolArray, trace: IntArray, draws: int, seed: int
) -> Iterator[dict[str, Any]]:
    """What a threshold would announce, at some quantiles of the tokens before the label.

    Rows: role, quantile, z, share with interval (of all tokens that lie above), precision with interval (share of the
    tokens above that announce the label), base_rate (that share among all tokens).

    Args:
        found: projections.
        counted: (n,) tokens that take part.
        announcing: (n,) tokens soon after which a sentence with the label starts, see `announcing_tokens`.
        trace: (n,) trace of each token.
        draws: bootstrap resamples of traces.
        seed: of the resampling.
    """
    for quantile in THRESHOLDS:
        level = float(np.quantile(found.z[found.before & counted], quantile))
        above = (found.z >= level) & counted
        share = _share(above, counted, trace, draws, seed)
        precision = _share(above & announcing, above, trace, draws, seed)
        yield {
            "role": str(found.role),
            "quantile": quantile,
            "z": level,
            **_columns("share", share),
            **_columns("precision", precision),
            "base_rate": float((announcing & counted).sum() / counted.sum()),
            "n_traces": precision.n,
        }


def announcing_tokens(store: ActivationStore, annotator: str, label: str, reach: int) -> BoolArray:
    """(n,) tokens of the same trace at most `reach` before the first token of a sentence with the label."""
    found = np.zeros(store.n_rows, dtype=bool)
    for sentence in store.labels(annotator):
        if sentence.label == label:
            first = store.info(sentence.trace_id).row_start
            found[first + max(0, sentence.token_start - reach) : first + sentence.token_start] = True
    return found


def profile_rows(
    store: ActivationStore,
    annotator: str,
    found: Projected,
    label: str,
    offsets: Sequence[int],
    draws: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """The projection token by token around the start of sentences: mean before the label and before others, and AUROC.

    Rows: role, offset, mean with interval (the label), other with interval (all other labels), auroc with interval.
    """
    for offset in offsets:
        windows = store.windows(annotator, (offset, offset))
        mine = windows.label == windows.labels.index(label)
        if not mine.any() or mine.all():
            continue
        z = found.z[windows.first]
        rng = np.random.default_rng(seed)
        means = [_mean(z[group], windows.trace[group], draws, seed) for group in (mine, ~mine)]
        ranked = auroc_estimate(z, mine, windows.trace, rng, draws)
        yield {
            "role": str(found.role),
            "offset": offset,
            **_columns("mean", means[0]),
            **_columns("other", means[1]),
            **_columns("auroc", ranked),
            "n_sentences": int(mine.sum()),
        }


def _mean(values: FloatArray, trace: IntArray, draws: int, seed: int) -> Estimate:
    _, cluster = np.unique(trace, return_inverse=True)
    sums, tokens = _sums(cluster, values), _sums(cluster, np.ones(len(values)))
    return ratio_of_sums(sums, tokens, np.random.default_rng(seed), draws, scale="standard deviations")


def _share(part: BoolArray, whole: BoolArray, trace: IntArray, draws: int, seed: int) -> Estimate:
    rng = np.random.default_rng(seed)
    return ratio_of_sums(_sums(trace, part), _sums(trace, whole), rng, draws, scale="share of tokens")


def _sums(trace: IntArray, values: Any) -> FloatArray:
    sums: FloatArray = np.bincount(trace, weights=values).astype(np.float64)
    return sums


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
