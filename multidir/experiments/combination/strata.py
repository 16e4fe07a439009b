"""A pair among places at which neither, one or both of its directions stand in the text already, and over all of them.

Descriptive: no verdict is given on a stratum. Where the pair is a gate, pushing one direction completes it wherever the
other one stands, so that the interaction is above zero where neither stands and below it where one does; averaged over
all places the two can cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.combination.counting import count
from multidir.experiments.combination.interaction import fit_factorial
from multidir.experiments.combination.layout import read_layout
from multidir.experiments.combination.outcomes_table import JOIN, UNKNOWN, direction_names
from multidir.experiments.combination.pair_axes import resample
from multidir.experiments.combination.tables import columns
from multidir.experiments.combination.verdicts import Settings
from multidir.stats.bootstrap import draw_weights, percentile_estimate

STRATA = ("neither", "first", "second", "both")
CELLS = ("none", "first", "second", "both")
COLUMNS = ["first", "second", "standing", "pushed", "share", "share_low", "share_high"]
COLUMNS += ["delta", "delta_low", "delta_high", "n_prompts"]


def strata_table(table: pd.DataFrame, target: str, settings: Settings) -> pd.DataFrame:
    """Every pair in every stratum: the share of backtracking in its four cells, others off, and its interaction.

    Args:
        table: from `check_outcomes`.
        target: the model that the verdict is about.
        settings: rules, resamples, seed.
    Returns:
        first, second, standing (`neither`, `first`, `second`, `both` or `all`), pushed (`none`, `first`, `second` or
        `both`), share with its interval, delta of the stratum with its interval, n_prompts; no rows where the table
        does not say what stands.
    """
    mine = table[table["model"] == target]
    rows: list[dict[str, Any]] = []
    for pair in combinations(direction_names(table), 2) if (mine["standing"] != UNKNOWN).any() else ():
        for name, part in _strata(mine, pair):
            found = _rows(part, pair, settings)
            rows += [{"first": pair[0], "second": pair[1], "standing": name, **row} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def _strata(table: pd.DataFrame, pair: tuple[str, str]) -> Iterator[tuple[str, pd.DataFrame]]:
    stand = {text: set(text.split(JOIN)) & set(pair) for text in set(table["standing"]) - {UNKNOWN}}
    for name, which in zip(STRATA, (set(), {pair[0]}, {pair[1]}, set(pair)), strict=True):
        yield name, table[table["standing"].isin([text for text, found in stand.items() if found == which])]
    yield "all", table


def _rows(part: pd.DataFrame, pair: tuple[str, str], settings: Settings) -> Iterator[dict[str, Any]]:
    try:
        (tally,) = count(part).tallies.values()
        layout = read_layout(tally)
    except DesignError:  # nothing stands so anywhere, or a cell is missing
        return
    i, j = (tally.directions.index(name) for name in pair)
    squares = layout.squares(i, j)
    if not squares:
        return
    delta = fit_factorial(tally, layout, settings.rules.check_alpha).delta(i, j).estimate()
    cells = list(squares[0])
    n = tally.n[:, cells]
    weights = draw_weights(len(n), settings.draws, np.random.default_rng(settings.seed))
    drawn = resample(tally.y[:, cells] / np.maximum(n, 1), n, weights)
    for place, pushed in enumerate(CELLS):
        share = percentile_estimate(float(drawn.rates[0, place]), drawn.rates[1:, place], drawn.n)
        yield {"pushed": pushed, **columns("share", share), **columns("delta", delta), "n_prompts": drawn.n}
