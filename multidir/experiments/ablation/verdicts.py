"""Verdicts of an ablation study: an arm is needed where taking it out does more than taking anything out would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from multidir.experiments.ablation.arms import NULLS
from multidir.experiments.deciding import would_decide
from multidir.experiments.probes.score import interval
from multidir.records.verdict import Status, Verdict
from multidir.stats.crossed import RandomTreatments, Ratio
from multidir.stats.estimate import Estimate

RULE = (
    "supported: backtracking becomes rarer, and more so than by another random ablation, both of random directions "
    "taken out alike and of random ones at equal norm; refuted: it becomes more frequent, and more so; invalid: random "
    "ablations of a kind move it, and this arm does no more than they do; undetermined: the rest, also with fewer than "
    "two random ablations. Intervals allow for prompts and for which directions were drawn"
)
NULL_NAMES = {"random": "random directions taken out alike", "matched": "random ablations of equal norm"}


@dataclass(frozen=True)
class Measure:
    """A column that verdicts are made of."""

    column: str
    share: str
    """Column of the level, or empty."""
    loss: int
    """Sign that the column has where backtracking becomes rarer."""
    claim: str
    moved: str
    unit: str
    times: float
    digits: int


_RARER = "Spontaneous backtracking falls"
IN_TEXTS = Measure("change", "share", -1, _RARER, "the share of backtracking sentences changes by", "points", 100, 1)
AFTER_BOTH = Measure(
    "both_change", "both_rate", -1, _RARER, "after steps with both causes, backtracking changes by", "points", 100, 1
)
IN_LOG_ODDS = Measure(
    "fall", "", 1, "In written texts, what announces backtracking becomes less likely",
    "the log-odds of the words before backtracking fall by", "nats", 1, 2,
)  # fmt: skip


def needed_verdicts(table: pd.DataFrame, measure: Measure) -> list[Verdict]:
    """Is each arm needed?

    Args:
        table: rows with arm, kind, n_prompts, and the measure's column with its interval, also over each null.
        measure: which column.
    """
    nulls = {kind: table[table["kind"] == kind].iloc[0] for kind in NULLS if (table["kind"] == kind).any()}
    said = "; ".join(f"{NULL_NAMES[kind]} do so by {told(row, measure)}" for kind, row in nulls.items())
    verdicts = []
    for _, row in table[~table["kind"].isin(["none", *NULLS])].iterrows():
        level = f" to {row[measure.share]:.1%}" if measure.share else ""
        moved = f"With it, {measure.moved} {told(row, measure)} {measure.unit}{level}"
        change = _estimate(row, measure.column)
        over = {f"over {kind}": _over(row, measure.column, kind) for kind in nulls}
        status = _status(row, change, nulls, measure)
        verdicts.append(
            Verdict(
                claim=f"{measure.claim} when one does this: {row['arm']}.",
                status=status,
                because=f"{moved}; {said or 'no random ablations were run'}.",
                rule=RULE,
                estimates={"change": change, **over},
                would_decide=would_decide(status, *((each, 0) for each in (change, *over.values()))),
            )
        )
    return verdicts


def over_nulls(real: Ratio, nulls: Mapping[str, RandomTreatments], column: str) -> dict[str, Any]:
    """How much more an arm does than another random ablation of each kind would, as columns."""
    found: dict[str, Any] = {}
    for kind, null in nulls.items():
        found |= interval(f"{column}_over_{kind}", null.beyond(real))
    return found


def _status(row: pd.Series, change: Estimate, nulls: Mapping[str, pd.Series], measure: Measure) -> Status:
    over = {kind: _over(row, measure.column, kind) for kind in NULLS}
    if not all(each.has_interval for each in over.values()):
        return Status.UNDETERMINED
    beyond = {kind: each.excludes(0) and each.value * change.value > 0 for kind, each in over.items()}
    if change.excludes(0) and all(beyond.values()):
        return Status.SUPPORTED if change.value * measure.loss > 0 else Status.REFUTED
    loud = [kind for kind, null in nulls.items() if _estimate(null, measure.column).excludes(0)]
    return Status.INVALID if any(not beyond[kind] for kind in loud) else Status.UNDETERMINED


def _over(row: pd.Series, column: str, kind: str) -> Estimate:
    name = f"{column}_over_{kind}"
    return _estimate(row, name) if name in row else Estimate(float("nan"), float("nan"), float("nan"), 0, "no null")


def _estimate(row: pd.Series, column: str) -> Estimate:
    ends = row[f"{column}_low"], row[f"{column}_high"]
    return Estimate(row[column], *ends, int(row["n_prompts"]), "clustered by prompt", "share")


def told(row: pd.Series, measure: Measure) -> str:
    """The measure with its interval, in the unit it is read in."""
    return f"{_estimate(row, measure.column).times(measure.times):+.{measure.digits}f}"
