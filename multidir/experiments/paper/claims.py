"""Decision rules for the paper's claims about what directions read and where projections are high."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from multidir.experiments.deciding import would_decide
from multidir.records.verdict import Status, Verdict
from multidir.stats.estimate import Estimate


def does_not_decode(scores: pd.DataFrame, label: str, site: str, words: Sequence[str]) -> list[Verdict]:
    """Does the base-derived direction at the steering site stay silent about the keywords?

    Args:
        scores: of `logit_lens.lens_tables`.
        label: the behaviour.
        site: where the paper steers.
        words: the keywords.
    Returns:
        One verdict, or none when there is no base-derived direction of this label at the site.
    """
    mine = scores[(scores["role"] == "base") & (scores["label"] == label) & (scores["site"] == site)]
    if mine.empty:
        return []
    above = mine["score"] > mine["null_high"]
    status = Status.REFUTED if above.all() else Status.UNDETERMINED if above.any() else Status.SUPPORTED
    numbers = "; ".join(
        f"{row.direction} through the {row.unembedding} unembedding {row.score:.3f} "
        f"(random vectors {row.null_low:.3f} to {row.null_high:.3f})"
        for row in mine.itertuples(index=False)
    )
    return [
        Verdict(
            claim=f"The base-derived direction at {site} does not decode to {' or '.join(words)}.",
            status=status,
            because=f"Keyword scores: {numbers}.",
            rule="supported: no score above the central 95 % of random unit vectors; refuted: every score above it; "
            "otherwise undetermined",
        )
    ]


def projections_are_dense(alarms: pd.DataFrame) -> list[Verdict]:
    """Do most of the tokens with a high projection announce nothing?

    Args:
        alarms: of `density_tables.alarm_rows`; the rows at the median of the tokens before the behaviour decide.
    """
    return [_dense(row) for row in alarms[alarms["quantile"] == 0.5].itertuples(index=False)]


def _dense(row: Any) -> Verdict:
    ends = row.precision_low, row.precision_high
    precision = Estimate(row.precision, *ends, row.n_traces, "cluster bootstrap", "share of tokens")
    if not precision.has_interval:
        status = Status.UNDETERMINED
    elif precision.high < 0.5:
        status = Status.SUPPORTED
    else:
        status = Status.REFUTED if precision.low > 0.5 else Status.UNDETERMINED
    return Verdict(
        claim=f"High projections on the {row.role}-derived direction are dense: most of them announce no backtracking.",
        status=status,
        because=f"Of all tokens, {row.share:.1%} project higher than the median token before backtracking; "
        f"{precision.percent} of these announce it, as "
        f"{row.base_rate:.1%} of all tokens do.",
        rule="supported: interval of that share below one half; refuted: above it; otherwise undetermined",
        estimates={"precision": precision},
        would_decide=would_decide(status, (precision, 0.5)),
    )


def models_agree(cosines: pd.DataFrame, label: str, min_cosine: float) -> list[Verdict]:
    """Do the base- and the reasoning-derived direction of a label point the same way?

    Args:
        cosines: of `geometry.cosine_rows`.
        label: the behaviour.
        min_cosine: from where on two directions agree.
    Returns:
        One verdict, or none when there is one model only.
    """
    mine = cosines[(cosines["axis"] == "model") & (cosines["within"] == label)]
    return [_agree(row, label, min_cosine) for row in mine.itertuples(index=False)]


def _agree(row: Any, label: str, min_cosine: float) -> Verdict:
    cosine = Estimate(row.cosine, row.low, row.high, row.n_traces, "cluster bootstrap, noise removed", "cosine")
    if not cosine.has_interval:
        status = Status.UNDETERMINED
    elif cosine.low > min_cosine:
        status = Status.SUPPORTED
    else:
        status = Status.REFUTED if cosine.high < min_cosine else Status.UNDETERMINED
    return Verdict(
        claim=f"The base model and the reasoning model hold nearly the same {label} direction.",
        status=status,
        because=f"Their cosine is {cosine:.2f}, sampling noise removed. "
        "The paper's text says 0.74, its published vectors 0.716, noise included.",
        rule=f"supported: interval above {min_cosine:g}; refuted: below it; otherwise undetermined",
        estimates={"cosine": cosine},
        would_decide=would_decide(status, (cosine, min_cosine)),
    )
