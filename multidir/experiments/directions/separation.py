"""How well does the projection on a direction tell sentences that precede backtracking from others?

Cross-fitted: the direction that scores a trace is made from other traces, because a difference of means
separates its own data too well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.methods.crossfit import crossfit
from multidir.methods.diffmeans import TraceSums
from multidir.progress import each
from multidir.records.site import Site
from multidir.stats.bootstrap import both_roles
from multidir.stats.estimate import Estimate
from multidir.stats.ranking import auroc_estimate
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, FloatArray, IntArray, Role


@dataclass(frozen=True)
class WindowMeans:
    """The mean activation of one window before each labelled sentence."""

    x: FloatArray
    """(n, d) float64."""
    positive: BoolArray
    """(n,) whether the sentence has the label."""
    trace: IntArray
    """(n,) place of its trace in the store."""


def window_means(
    store: ActivationStore, role: Role, site: Site, annotator: str, label: str, offsets: tuple[int, int]
) -> WindowMeans:
    """Read the windows of all labelled sentences; those that would leave the text are left out.

    Raises:
        DesignError: no sentence with the label has a whole window.
    """
    windows = store.windows(annotator, offsets)
    positive = np.array([windows.labels[i] == label for i in windows.label], dtype=bool)
    if not positive.any():
        raise DesignError(
            f"no {label!r} sentence of annotator {annotator} has a whole window {offsets[0]}..{offsets[1]} "
            f"({len(positive)} other sentences have one); label more traces or choose another window"
        )
    rows = store.rows(role, site, windows.rows().ravel())
    return WindowMeans(
        rows.reshape(len(positive), windows.length, -1).mean(axis=1, dtype=np.float64), positive, windows.trace
    )


def separation_table(
    store: ActivationStore,
    annotator: str,
    label: str,
    sites: Sequence[Site],
    offsets: Sequence[tuple[int, int]],
    folds: int,
    draws: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AUROC with clustered interval for every model, site and window, and the scores behind it.

    Intervals allow for traces in which the direction is found as well as tried: without, at chance and with 60 traces,
    they would cover 0.5 in four of five cases only.

    Returns:
        The table (role, site, offset_lo, offset_hi, auroc, low, high, n_positive, n_sentences, n_traces), and
        one row per sentence and model with its score in the best window.
    """
    rows, scored = [], []
    places = list(product(store.roles, sites, offsets))
    for role, site, (lo, hi) in each(places, "separation", "window"):
        windows = window_means(store, role, site, annotator, label, (lo, hi))
        sums = TraceSums.read(store, role, site, annotator, (lo, hi))
        found_in = crossfit(sums, label, folds, np.random.default_rng(seed))
        scores = found_in.project(windows.x, windows.trace)
        rng = np.random.default_rng(seed)
        found = both_roles(auroc_estimate(scores, windows.positive, windows.trace, rng, draws), 0, 1)
        facts = {"role": role, "site": str(site), "offset_lo": lo, "offset_hi": hi}
        rows.append({**facts, **_columns(found, windows)})
        scored.append(pd.DataFrame({**facts, "projection": scores, "before_backtracking": windows.positive}))
    table, projections = pd.DataFrame(rows), pd.concat(scored, ignore_index=True)
    best = best_window(table)
    same = [projections[name] == best[name] for name in ("site", "offset_lo", "offset_hi")]
    return table, projections[np.logical_and.reduce(same)]


def _columns(found: Estimate, windows: WindowMeans) -> dict[str, float]:
    return {
        "auroc": found.value,
        "low": found.low,
        "high": found.high,
        "n_positive": int(windows.positive.sum()),
        "n_sentences": len(windows.positive),
        "n_traces": found.n,
    }


def best_window(table: pd.DataFrame) -> pd.Series:
    """The row with the highest AUROC among windows that end before the sentence, if there is one.

    A window that holds the sentence's first token has seen the word "Wait": it predicts nothing.
    """
    before = table[table["offset_hi"] < 0]
    usable = table if before.empty else before
    return usable.sort_values("auroc", ascending=False).iloc[0]


def best_separation(table: pd.DataFrame) -> str:
    """The sentence that names the best window."""
    best = best_window(table)
    return (
        f"of the windows before the sentence, {best['offset_lo']}..{best['offset_hi']} of the {best['role']} model at "
        f"{best['site']} announces it best: AUROC {best['auroc']:.3f} [{best['low']:.3f}, {best['high']:.3f}], "
        f"{best['n_positive']} of {best['n_sentences']} sentences in {best['n_traces']} traces"
    )
