"""Decision rules for the paper's claims about what directions read and where projections are high."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from multidir.records.verdict import Status, Verdict


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
