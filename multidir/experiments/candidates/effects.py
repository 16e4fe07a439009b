"""What candidates do, measured: log-odds of words with a direction added, or taken out, in texts already written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from multidir.experiments.candidates.finders import Candidate
from multidir.experiments.candidates.gradients import SCOPE
from multidir.experiments.directions.places import Questions
from multidir.models.language_model import LanguageModel
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.stats.clustered import cluster_means
from multidir.stats.estimate import Estimate
from multidir.steer.forced import teacher_forced
from multidir.types import FloatArray

MEASURES = ("t", "attribution", "integrated", "add", "ablate")
"""Columns of the candidate table whose rankings are compared; `ablate` counts the fall of the log-odds."""


def added(candidate: Candidate, dose: float) -> Intervention:
    """The direction at an equal dose for all."""
    return Intervention(candidate.direction, Dose(dose, "relative"), "add", SCOPE)


def taken_out(candidate: Candidate, mean: FloatArray) -> Intervention:
    """A latent switched off, what the dictionary does not explain kept; a direction held at the mean row's share."""
    if candidate.latent is not None:
        return Intervention(candidate.latent, Dose(0, "activation"), "clamp", SCOPE)
    return Intervention(Eraser.mean_ablate(candidate.direction, mean), Dose(1, "share"), "erase", SCOPE)


def measured_effects(
    lm: LanguageModel,
    candidates: Sequence[Candidate],
    questions: Questions,
    tokens: Sequence[int],
    mean: FloatArray,
    mean_norms: dict[Site, float],
    dose: float,
) -> list[dict[str, float]]:
    """Adding where the behaviour does not follow, and taking out where it does.

    Returns:
        For each candidate: add, add_low, add_high (change of log-odds before other sentences), ablate, ablate_low,
        ablate_high (fall of log-odds before the behaviour), add_kl, ablate_kl (nats, over the same questions);
        intervals are clustered by text.
    """
    edits = [edit for each in candidates for edit in (added(each, dose), taken_out(each, mean))]
    found = teacher_forced(lm, questions.contexts, [None, *edits], tokens, mean_norms)
    odds, kl = questions.joined(found)
    shift = odds[1:] - odds[0]
    before, text = questions.before, questions.trace
    add, fall = cluster_means(shift[::2, ~before].T, text[~before]), cluster_means(-shift[1::2, before].T, text[before])
    kls = kl[1::2, ~before].mean(axis=1), kl[2::2, before].mean(axis=1)
    return [
        _columns("add", add[i]) | _columns("ablate", fall[i]) | {"add_kl": kls[0][i], "ablate_kl": kls[1][i]}
        for i in range(len(candidates))
    ]


def _columns(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def rank_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """How far the ways of ranking agree: Spearman's rho over the candidates that have both, controls left out.

    Returns:
        first, second, rho, n; rho is nan for fewer than four candidates.
    """
    rows = []
    real = table[~table["control"]]
    for i, first in enumerate(MEASURES):
        for second in MEASURES[i + 1 :]:
            both = real[[first, second]].dropna()
            varied = len(both) >= 4 and (both.nunique() > 1).all()
            rho = float(stats.spearmanr(both[first], both[second]).statistic) if varied else np.nan
            rows.append({"first": first, "second": second, "rho": rho, "n": len(both)})
    return pd.DataFrame(rows)
