"""Decision rules: frozen before the data are seen, they turn estimates into the paper's claims held or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multidir.experiments.deciding import would_decide
from multidir.records.verdict import Status, Verdict
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray


@dataclass(frozen=True)
class PaperRules:
    """Thresholds for the paper's claims. They are part of a run's hash: changing one makes another run."""

    min_fold: float = 2.0
    """A direction *causes* backtracking when the whole interval of its fold change is above this."""
    null_quantile: float = 0.95
    """And when it exceeds this quantile of random directions of equal norm."""
    base_ceiling: float = 0.005
    """A base model is *left alone* when the whole interval of its backtracking share is below this."""
    zero_icc: float = 0.0
    """How alike the sentences of one prompt are taken to be when not one of them backtracks: there is then
    nothing to estimate it from. 0 counts each sentence as a trial."""


def causes_backtracking(fold: Estimate, null_folds: FloatArray, rules: PaperRules, source: str) -> Verdict:
    """Does the direction raise the reasoning model's backtracking more than random ones do?"""
    edge = float(np.quantile(null_folds, rules.null_quantile)) if len(null_folds) else np.nan
    if fold.has_interval and fold.low > rules.min_fold and fold.value > edge:
        status = Status.SUPPORTED
    elif fold.has_interval and (fold.high < rules.min_fold or fold.high < edge):
        status = Status.REFUTED
    else:
        status = Status.UNDETERMINED
    because = f"Backtracking is {fold:.1f} times the unsteered level."
    if np.isnan(fold.value):
        because = "Steered at this dose, or not steered, it writes no sentence that could be counted."
    elif len(null_folds):
        because = (
            f"{because[:-1]}; of {len(null_folds)} random directions of equal norm, the median gives "
            f"{np.median(null_folds):.1f} and the {rules.null_quantile:.0%} quantile {edge:.1f}."
        )
    return Verdict(
        claim=f"A direction found in the {source} model makes the reasoning model backtrack.",
        status=status,
        because=because,
        rule=f"supported: interval above {rules.min_fold:g} and value above the {rules.null_quantile:.0%} quantile of "
        f"random directions; refuted: interval below either; otherwise undetermined",
        estimates={"fold": fold},
        would_decide=would_decide(status, (fold, rules.min_fold), (fold, edge), ratio=True),
    )


def leaves_base_alone(share: Estimate, rules: PaperRules) -> Verdict:
    """Does the same direction at the same dose leave the base model without backtracking?"""
    if not share.has_interval:
        status = Status.UNDETERMINED
    elif share.high < rules.base_ceiling:
        status = Status.SUPPORTED
    else:
        status = Status.REFUTED if share.low > rules.base_ceiling else Status.UNDETERMINED
    return Verdict(
        claim="The same direction at the same dose does not make the base model backtrack.",
        status=status,
        because=f"The steered base model backtracks in {share.percent} of its sentences.",
        rule=f"supported: interval below {rules.base_ceiling:.1%}; refuted: interval above it; otherwise undetermined; "
        f"without any backtracking, a Wilson interval with intra-prompt correlation {rules.zero_icc:g}",
        estimates={"share": share},
        would_decide=would_decide(status, (share, rules.base_ceiling)),
    )


def before_beats_at(before: Estimate, at: Estimate, ratio: Estimate, window: str) -> Verdict:
    """Is the direction taken before the sentence better than the one taken at its first token?"""
    if not ratio.has_interval:
        status = Status.UNDETERMINED
    elif ratio.low > 1:
        status = Status.SUPPORTED
    else:
        status = Status.REFUTED if ratio.high < 1 else Status.UNDETERMINED
    return Verdict(
        claim="The direction taken before the backtracking sentence steers better than the one taken at its start.",
        status=status,
        because=f"At its best coherent dose the window {window} gives {before.value:.1%} of sentences, the window at "
        f"the sentence start {at.value:.1%}; the ratio is {ratio:.1f}.",
        rule="supported: interval of the ratio above 1; refuted: below 1; otherwise undetermined",
        estimates={"before": before, "at": at, "ratio": ratio},
        would_decide=would_decide(status, (ratio, 1), ratio=True),
    )
