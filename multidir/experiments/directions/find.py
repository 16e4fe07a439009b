"""All directions of a store: every model, site, window and label, with lengths, cosines and their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from multidir.errors import ConfigError
from multidir.experiments.score import BACKTRACKING
from multidir.experiments.settings import Means
from multidir.methods.diffmeans import TraceSums
from multidir.methods.reliability import Case, Reliability, direction_estimates
from multidir.methods.window_rules import Offsets
from multidir.progress import each
from multidir.records.direction import DirectionSet
from multidir.records.site import Site
from multidir.stats.estimate import Estimate
from multidir.store.activations import ActivationStore


@dataclass(frozen=True)
class Found:
    """Directions with their statistics and the norms that relative doses need."""

    directions: DirectionSet
    table: pd.DataFrame
    """One row per direction."""
    mean_norms: dict[str, dict[str, float]]
    """Mean residual norm by role and site, first token left out."""
    headline: str


def choose_annotator(store: ActivationStore, name: str = "") -> str:
    """The annotator of that name, or the only one when there is no name.

    Raises:
        ConfigError: there is no such annotator, or a name is needed because there are several.
    """
    there = store.annotators
    if name in there or (not name and len(there) == 1):
        return name or there[0]
    wanted = f"not of {name}" if name else "so name one: --annotator" if there else "so put some with data/relabel"
    raise ConfigError(f"{store.path} holds labels of {', '.join(there) or 'nobody'}, {wanted}")


def chosen_sites(store: ActivationStore, names: Sequence[str]) -> tuple[Site, ...]:
    """The named sites of a store, or all of them when none is named.

    Raises:
        ConfigError: one was not captured.
    """
    wanted = tuple(Site.parse(name) for name in names) or store.sites
    lost = [str(site) for site in wanted if site not in store.sites]
    if lost:
        there = ", ".join(map(str, store.sites))
        raise ConfigError(f"{', '.join(lost)} is not in {store.path}; it holds {there}")
    return wanted


def find_directions(
    store: ActivationStore,
    sites: Sequence[Site],
    labels: Sequence[str],
    windows: Sequence[Offsets],
    means: Means,
    draws: int,
    seed: int,
    annotator: str = "",
) -> Found:
    """Difference of means for every role, site, window and label.

    Args:
        store: activations with the labels of one annotator.
        sites: where.
        labels: which; none stands for every label that has rows in a window.
        windows: token offsets.
        means: how they are taken.
        draws: bootstrap resamples of traces.
        seed: of the resampling.

    Raises:
        DesignError: no sentence has a label that was asked for, or none has a whole window.
    """
    annotator = choose_annotator(store, annotator)
    directions, rows = [], []
    for site, window in each(list(product(sites, windows)), "directions", "window"):
        sums = {role: TraceSums.read(store, role, site, annotator, window, means.skip) for role in store.roles}
        for label in labels or next(iter(sums.values())).present:
            directions += [read.direction(label, means.mean, means.reference) for read in sums.values()]
            rows += list(_rows(sums, label, means, draws, seed))
    table = pd.DataFrame(rows)
    return Found(DirectionSet(directions), table, mean_norms(store, sites), _headline(table))


def mean_norms(store: ActivationStore, sites: Iterable[Site]) -> dict[str, dict[str, float]]:
    """Mean residual norm by role and site, which relative doses are relative to."""
    return {str(role): {str(site): store.mean_norm(role, site) for site in sorted(sites)} for role in store.roles}


def _rows(sums: dict[Any, TraceSums], label: str, means: Means, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    cases = {str(role): Case(read, label) for role, read in sums.items()}
    found = direction_estimates(cases, np.random.default_rng(seed), draws, means.mean, means.reference)
    for role, read in sums.items():
        yield _row(found, str(role), read, label)


def _row(found: Reliability, role: str, read: TraceSums, label: str) -> dict[str, Any]:
    between = found.cosine.get(("base", "reasoning"), Estimate(np.nan, np.nan, np.nan, 0, ""))
    norm, halves = found.norm[role], found.split_half.get(role)
    positive = read.counts[:, read.index(label)]
    return {
        "name": f"{role}/{label} {read.site} {read.offsets[0]}..{read.offsets[1]}",
        "role": role,
        "label": label,
        "site": str(read.site),
        "offset_lo": read.offsets[0],
        "offset_hi": read.offsets[1],
        "length": norm.value,
        "length_low": norm.low,
        "length_high": norm.high,
        "raw_length": found.raw_norm[role],
        "split_half_cosine": np.nan if halves is None else halves.value,
        "cosine_between_roles": between.value,
        "cosine_low": between.low,
        "cosine_high": between.high,
        "raw_cosine": found.raw_cosine.get(("base", "reasoning"), np.nan),
        "n_rows": int(positive.sum()),
        "n_traces": int((positive > 0).sum()),
    }


def _headline(table: pd.DataFrame) -> str:
    """The most stable direction of the behaviour (or of the first label) from before the sentence."""
    behaviour = table[table["label"] == BACKTRACKING]
    named = behaviour if len(behaviour) else table[table["label"] == table["label"].iloc[0]]
    before = named[named["offset_hi"] < 0]
    stable = before if len(before) else named
    best = stable.sort_values("split_half_cosine", ascending=False).iloc[0]
    sentence = (
        f"{len(table)} directions; the most stable one from before the sentence is {best['name']} (split-half cosine "
    )
    sentence += f"{best['split_half_cosine']:.2f})"
    if np.isnan(best["cosine_between_roles"]):
        return sentence
    interval = f"{best['cosine_between_roles']:.2f} [{best['cosine_low']:.2f}, {best['cosine_high']:.2f}]"
    return f"{sentence}; there the two models' directions have cosine {interval}"
