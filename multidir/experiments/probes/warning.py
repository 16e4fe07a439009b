"""Early warning: how many tokens before the sentence a probe knows, at fixed rates of false alarms.

At every offset the threshold of a fold is the quantile of the other folds' negatives that allows the false alarms asked
for. A positive is known k tokens ahead when the alarm is on at every measured offset from -k up to the sentence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from multidir.experiments.probes.grid import Grid
from multidir.experiments.probes.score import Columns, interval
from multidir.methods.probe_folds import Folds
from multidir.records.site import Site
from multidir.stats.bootstrap import both_roles, weighted_bootstrap
from multidir.stats.estimate import Estimate
from multidir.types import BoolArray, FloatArray, IntArray, Role


def early_warning(grid: Grid, role: Role, site: Site, rates: Sequence[float], draws: int, seed: int) -> pd.DataFrame:
    """One row per rate of false alarms and offset before the sentence.

    Returns:
        role, site, allowed (the rate), offset, caught (share of positives with an alarm) with its interval,
        false_alarms (share of negatives that gave one), ahead (share of positives with an unbroken alarm from here to
        the sentence) with its interval.
    """
    offsets = sorted(o for r, s, o in grid.cells if (r, s) == (role, site) and o < 0)
    y, group = grid.rows.positive, grid.rows.group
    found = []
    for rate in rates:
        alarms = {o: alarm(grid.cells[role, site, o].held.log_odds, y, grid.folds, rate) for o in offsets}
        unbroken = np.ones(len(y), bool)
        for offset in reversed(offsets):
            unbroken = unbroken & alarms[offset]
            at: Columns = {"role": role, "site": str(site), "allowed": rate, "offset": offset}
            caught = _share(alarms[offset], y, group, draws, seed)
            ahead = _share(unbroken, y, group, draws, seed)
            false = {"false_alarms": float(alarms[offset][~y].mean()), "n_positive": int(y.sum())}
            found.append({**at, **interval("caught", caught), **interval("ahead", ahead), **false})
    return pd.DataFrame(found).sort_values(["allowed", "offset"], ignore_index=True)


def alarm(log_odds: FloatArray, positive: BoolArray, folds: Folds, rate: float) -> BoolArray:
    """(n,) whether a row is above the threshold that lets `rate` of the other folds' negatives through."""
    on = np.zeros(len(log_odds), bool)
    for f in range(folds.k):
        mine = folds.fold == f
        threshold = np.quantile(log_odds[~mine & ~positive], 1 - rate, method="higher")
        on[mine] = log_odds[mine] > threshold
    return on


def _share(on: BoolArray, positive: BoolArray, group: IntArray, draws: int, seed: int) -> Estimate:
    """Share of positives that are on, by resampling prompts that have a positive."""
    names, cluster = np.unique(group[positive], return_inverse=True)
    hits, all_of = np.bincount(cluster, weights=on[positive]), np.bincount(cluster).astype(np.float64)

    def statistic(w: FloatArray) -> FloatArray:
        share: FloatArray = (w @ hits) / (w @ all_of)
        return share

    found = weighted_bootstrap(statistic, names.size, np.random.default_rng(seed), draws, scale="share of sentences")
    return both_roles(found, 0, 1)


def warning_sentence(table: pd.DataFrame) -> str:
    """From how far before the sentence half of the positives are caught, at each rate."""
    parts = []
    for rate, some in table.groupby("allowed"):
        half = some[(some["caught"] >= 0.5) & (some["offset"] < some["offset"].max())]
        last = some[some["offset"] == some["offset"].max()].iloc[0]
        distance = f"{-last['offset']:.0f} token{'' if last['offset'] == -1 else 's'}"
        told = f"{last['caught']:.0%} {distance} before the sentence"
        early = f", half of them already {-half['offset'].min():.0f} tokens before" if len(half) else ""
        parts.append(f"at {rate:.0%} false alarms the probe catches {told}{early}")
    return "; ".join(parts)
