"""A first look at all pairs and triples of directions: the sentence after fixed texts, under all of their combinations.

    m(S) = mean over places of  sum over T in S of (-1)^(|S| - |T|) L(T)        (Moebius, L = log-odds of the tokens)

Deterministic and cheap: no text is written. It is no verdict, because log-odds of single places weigh those most where
the behaviour is rarest, and because it has no dose ladder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, combinations

import numpy as np
import pandas as pd

from multidir.experiments.protocol.cells import SCREENED, Doses
from multidir.experiments.protocol.next_sentences import NextSentences
from multidir.stats.clustered import cluster_means
from multidir.types import BoolArray, FloatArray


def screen_table(
    names: Sequence[str], cells: Mapping[Doses, Sequence[NextSentences]], free: Mapping[str, BoolArray] | None
) -> pd.DataFrame:
    """Pairs and triples with their Moebius coefficients on log-odds, errors over prompts.

    Args:
        names: of k directions.
        cells: by doses (0 or 1 each) of every set of up to three directions, the next sentences of all texts.
        free: by prompt, (m,) the places at which no direction stands; None where that is not known.
    Returns:
        set, order, places (`none stands`, `all`), moebius, moebius_low, moebius_high, n_places, n_prompts.
    """
    zero = cells[(0.0,) * len(names)]
    counts = [len(row.log_odds) for row in zero]
    cluster = np.repeat(np.arange(len(zero)), counts)
    odds = {doses: np.concatenate([np.array(row.log_odds) for row in rows]) for doses, rows in cells.items()}
    groups = {"all": np.ones(len(cluster), dtype=bool)}
    if free is not None:
        groups = {"none stands": np.concatenate([free[row.prompt_id] for row in zero]), **groups}
    sets = [s for size in range(2, SCREENED + 1) for s in combinations(range(len(names)), size)]
    values = np.column_stack([_moebius(odds, members, len(names)) for members in sets])
    rows = []
    for group, places in groups.items():
        if not places.any():
            continue
        for members, found in zip(sets, cluster_means(values[places], cluster[places]), strict=True):
            rows.append(
                {"set": " + ".join(names[i] for i in members), "order": len(members), "places": group}
                | {"moebius": found.value, "moebius_low": found.low, "moebius_high": found.high}
                | {"n_places": int(places.sum()), "n_prompts": found.n}
            )
    return pd.DataFrame(rows)


def _moebius(odds: Mapping[Doses, FloatArray], members: Sequence[int], k: int) -> FloatArray:
    """(n,) alternating sum over all subsets of a set of directions."""
    subsets = chain.from_iterable(combinations(members, size) for size in range(len(members) + 1))
    terms = [
        (-1) ** (len(members) - len(subset)) * odds[tuple(float(i in subset) for i in range(k))] for subset in subsets
    ]
    return np.asarray(np.sum(terms, axis=0))
