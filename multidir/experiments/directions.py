"""All directions of a store: every model, site and window, with lengths, cosines and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from multidir.errors import ConfigError
from multidir.linalg.contrast import MeanRule, Reference
from multidir.methods.diffmeans import Offsets, TraceSums
from multidir.methods.reliability import Reliability, direction_estimates
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


def parse_window(text: str) -> Offsets:
    """Read `-13:-8`: first and last token of a window, relative to the sentence's first token.

    Raises:
        ConfigError: not two whole numbers in order.
    """
    first, _, last = text.partition(":")
    try:
        window = int(first), int(last)
    except ValueError:
        raise ConfigError(f"window {text!r} is not first:last, such as -13:-8") from None
    if window[1] < window[0]:
        raise ConfigError(f"window {text!r} ends before it begins")
    return window


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


def find_directions(
    store: ActivationStore,
    label: str,
    windows: Sequence[Offsets],
    mean: MeanRule,
    reference: Reference,
    draws: int,
    seed: int,
    annotator: str = "",
) -> Found:
    """Difference of means for every role, site and window of a store.

    Raises:
        DesignError: no sentence has the label, or none has a whole window.
    """
    annotator = choose_annotator(store, annotator)
    directions, rows = [], []
    for site in store.sites:
        for window in windows:
            sums = {role: TraceSums.read(store, role, site, annotator, window) for role in store.roles}
            directions += [read.direction(label, mean, reference) for read in sums.values()]
            found = direction_estimates(
                {str(role): read for role, read in sums.items()},
                label,
                np.random.default_rng(seed),
                draws,
                mean,
                reference,
            )
            rows += list(_rows(found, label, site, window, {str(r): s for r, s in sums.items()}))
    norms = {role: {str(site): store.mean_norm(role, site) for site in store.sites} for role in store.roles}
    table = pd.DataFrame(rows)
    return Found(DirectionSet(directions), table, {str(r): n for r, n in norms.items()}, _headline(table))


def _rows(
    found: Reliability, label: str, site: Site, window: Offsets, sums: dict[str, TraceSums]
) -> Iterator[dict[str, Any]]:
    between = found.cosine.get(("base", "reasoning"), Estimate(np.nan, np.nan, np.nan, 0, ""))
    for role, read in sums.items():
        norm, halves = found.norm[role], found.split_half.get(role)
        positive = read.counts[:, read.index(label)]
        yield {
            "name": f"{role}/{label} {site} {window[0]}..{window[1]}",
            "role": role,
            "site": str(site),
            "offset_lo": window[0],
            "offset_hi": window[1],
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
    before = table[table["offset_hi"] < 0]
    stable = before if len(before) else table
    best = stable.sort_values("split_half_cosine", ascending=False).iloc[0]
    sentence = (
        f"{len(table)} directions; the most stable one from before the sentence is {best['name']} (split-half cosine "
    )
    sentence += f"{best['split_half_cosine']:.2f})"
    if np.isnan(best["cosine_between_roles"]):
        return sentence
    interval = f"{best['cosine_between_roles']:.2f} [{best['cosine_low']:.2f}, {best['cosine_high']:.2f}]"
    return f"{sentence}; there the two models' directions have cosine {interval}"
