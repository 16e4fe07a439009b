"""Axis 1: the interaction of every pair on log-odds, from all cells of the factorial at once.

    logit p = alpha_prompt + sum_i beta_i on_i + sum_{i<j} delta_ij on_i on_j

In a full factorial every pair is seen in every state of the other directions, which more than halves its standard
error against a separate square. That average means something only while no three directions interact: when the
omnibus test of all higher terms rejects, delta is the interaction with the others off, as on the dose ladders.

delta is the mean over prompts. The fit takes effects as common to all of them, which by itself lands about 0.05 too low
where effects differ between prompts by half a unit; `stats.prompt_average` takes that off, and its error into the
interval. Where the counts do not tell how much prompts differ (one rollout and no cell to spare), it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multidir.experiments.layout import Layout
from multidir.experiments.tally import Tally
from multidir.stats.contrast import Contrast, omnibus
from multidir.stats.factorial import MAX_FULL, Term, model_matrix, terms
from multidir.stats.fixed_effect import LogitFit, fit_logit
from multidir.stats.prompt_average import inflation_of, prompt_average
from multidir.types import FloatArray


@dataclass(frozen=True, eq=False)
class FactorialFit:
    """Both models of one factorial."""

    averaged: LogitFit
    """Main effects and pairs."""
    full: LogitFit | None
    """All terms; None when there are too many directions, or cells are missing."""
    columns: tuple[Term, ...]
    """Terms of `full`, small ones first; the first of them are those of `averaged`."""
    p_higher: float
    """P-value of the null that no three directions or more interact; nan when it cannot be tested."""
    alpha: float

    @property
    def others_off(self) -> bool:
        """Whether interactions are those with all other directions off."""
        return self.full is not None and self.p_higher < self.alpha

    @property
    def shown(self) -> LogitFit:
        """The fit that pairs are read from."""
        return self.full if self.full is not None and self.others_off else self.averaged

    def delta(self, i: int, j: int) -> Contrast:
        """The interaction of a pair, in log-odds."""
        return self.shown.coefficient(self.columns.index((i, j)))


def fit_factorial(tally: Tally, layout: Layout, alpha: float) -> FactorialFit:
    """Fit the pair model, and the full one where it can be.

    Args:
        tally: Counts.
        layout: Its factorial.
        alpha: Error of the omnibus test of higher terms.
    """
    k = layout.on.shape[1]
    small = terms(k, 2)
    averaged = _fit(tally, layout, model_matrix(layout.on, small))
    if k == 2:
        return FactorialFit(averaged, averaged, tuple(small), float("nan"), alpha)
    if k > MAX_FULL or len(layout.factorial) < 2**k:
        return FactorialFit(averaged, None, tuple(small), float("nan"), alpha)
    columns = terms(k, k)
    full = _fit(tally, layout, model_matrix(layout.on, columns))
    high = np.arange(len(small), len(columns))
    p_higher = omnibus(full.beta[high], full.spread[:, high], full.n_used)
    return FactorialFit(averaged, full, tuple(columns), p_higher, alpha)


def _fit(tally: Tally, layout: Layout, x: FloatArray) -> LogitFit:
    """Effects as means over prompts."""
    y, n, half_y, half_n = (a[:, layout.factorial] for a in (tally.y, tally.n, tally.half_y, tally.half_n))
    common = fit_logit(y, n, x)
    return prompt_average(common, y, n, x, inflation_of(y, n, x, common, half_y, half_n))
