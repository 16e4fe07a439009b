"""Does a pair interact differently in another model, or on other prompts? The interaction, group by group.

Base against reasoning model: did finetuning make the interaction, or only the read-out? Both models answer the same
prompts, so the difference is paired by prompt. Categories: each against all other prompts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.combination.counting import Counted
from multidir.experiments.combination.interaction import FactorialFit, fit_factorial
from multidir.experiments.combination.layout import Layout, read_layout
from multidir.experiments.combination.tally import Tally
from multidir.stats.contrast import Contrast, holm

COLUMNS = ("first", "second", "by", "group", "against")
NUMBERS = ("delta", "delta_against", "difference", "difference_low", "difference_high", "p_adjusted", "n_prompts")


def group_table(counted: Counted) -> pd.DataFrame:
    """Every comparison that the table allows; no rows without a second model and without categories.

    Returns:
        first, second, by (`model` or `category`), group, against; delta of both, their difference with its interval,
        and its p-value, Holm-adjusted over all rows of the same kind.
    """
    rows = [*_by_model(counted), *_by_category(counted.tallies[counted.target])]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *NUMBERS])
    for kind in table["by"].unique():
        these = table["by"] == kind
        table.loc[these, "p_adjusted"] = holm(table.loc[these, "p_adjusted"].to_numpy(np.float64))
    return table


def _by_model(counted: Counted) -> Iterator[dict[str, object]]:
    target = counted.target
    ours = _fit(counted.tallies[target])
    for name, tally in counted.tallies.items():
        theirs = _fit(tally) if name != target else None
        if ours is None or theirs is None:
            continue
        for pair in ours[0].pairs:
            if pair in theirs[0].pairs:
                yield _row(counted.tallies[target], pair, "model", target, name, ours[1], theirs[1])


def _by_category(tally: Tally) -> Iterator[dict[str, object]]:
    for name in sorted({c for c in tally.categories or () if c}):
        inside = tally.prompts_in(name)
        ours, rest = _fit(tally.only(inside)), _fit(tally.only(~inside))
        if ours is None or rest is None:
            continue
        for pair in ours[0].pairs:
            if pair in rest[0].pairs:
                yield _row(tally, pair, "category", name, "all others", ours[1], rest[1])


def _fit(tally: Tally) -> tuple[Layout, FactorialFit] | None:
    """Layout and fit; None when this part of the table holds no pair."""
    try:
        layout = read_layout(tally)
    except DesignError:
        return None
    return layout, fit_factorial(tally, layout, 0.0)


def _row(
    tally: Tally, pair: tuple[int, int], by: str, group: str, against: str, ours: FactorialFit, theirs: FactorialFit
) -> dict[str, object]:
    a, b = ours.delta(*pair), theirs.delta(*pair)
    gap: Contrast = a - b
    found = gap.estimate()
    return {
        "first": tally.directions[pair[0]],
        "second": tally.directions[pair[1]],
        "by": by,
        "group": group,
        "against": against,
        "delta": a.value,
        "delta_against": b.value,
        "difference": found.value,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_adjusted": gap.p_beyond(0.0),
        "n_prompts": found.n,
    }
