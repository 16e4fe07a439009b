"""The tiny pair's planted rule, measured in what it wrote: backtracking by hesitation and mistake."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from multidir.organism.grammar import parse, step_outcomes
from multidir.organism.rule import RULES
from multidir.stats.proportions import wilson


def rates_by_cause(texts: Iterable[str], rule: str) -> pd.DataFrame:
    """How often a step is taken back, for each combination of the two causes, beside the planted rate.

    Args:
        texts: reasoning parts of traces.
        rule: name of the rule that the reasoning model was trained with.
    Returns:
        Four rows: hesitation, mistake, rate, low, high, n, planted. Steps are taken as independent (Wilson).
    """
    counts: dict[tuple[bool, bool], list[int]] = {(h, m): [0, 0] for h in (False, True) for m in (False, True)}
    for text in texts:
        for step, taken_back in step_outcomes(parse(text)):
            cell = counts[step.hesitates, step.mistaken]
            cell[0] += taken_back
            cell[1] += 1
    rows = []
    for (hesitates, mistaken), (hits, n) in counts.items():
        found = wilson(hits, n, scale="share of steps")
        planted = RULES[rule].probability(hesitates, mistaken)
        rows.append(
            {"hesitation": hesitates, "mistake": mistaken, "rate": found.value, "low": found.low, "high": found.high}
            | {"n": n, "planted": planted}
        )
    return pd.DataFrame(rows)


def causes_sentence(rates: pd.DataFrame) -> str:
    """What the table says in one sentence."""
    value = {(row["hesitation"], row["mistake"]): row["rate"] for _, row in rates.iterrows()}
    return (
        f"a step is taken back in {value[True, True]:.0%} of cases with hesitation and mistake, "
        f"{value[True, False]:.0%} with hesitation alone, {value[False, True]:.0%} with a mistake alone, "
        f"{value[False, False]:.1%} with neither"
    )
