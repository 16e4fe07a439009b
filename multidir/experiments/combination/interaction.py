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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from multidir.experiments.combination.layout import Layout
from multidir.experiments.combination.tally import Tally
from multidir.stats.contrast import Contrast, omnibus
from multidir.stats.factorial import MAX_FULL, Term, model_matrix, terms
from multidir.stats.fixed_effect import LogitFit, fit_logit
from multidir.stats.prompt_average import inflation_of, prompt_average


@dataclass(frozen=True, eq=False)
class FactorialFit:
    """Both models of one factorial."""

    averaged: LogitFit
    """Main effects and pairs."""
    columns: tuple[Term, ...]
    """All terms, small ones first; the first of them are those of `averaged`."""
    p_higher: float
    """P-value of the null that no three directions or more interact; nan when it cannot be tested."""
    alpha: float
    fit_full: Callable[[], LogitFit] | None = None
    """Fits all terms; None when there are too many directions, or cells are missing."""

    @cached_property
    def full(self) -> LogitFit | None:
        """All terms, fitted when somebody asks."""
        return None if self.fit_full is None else self.fit_full()

    @property
    def others_off(self) -> bool:
        """Whether interactions are those with all other directions off."""
        return self.p_higher < self.alpha

    @property
    def shown(self) -> LogitFit:
        """The fit that pairs are read from."""
        return self.full if self.others_off and self.full is not None else self.averaged

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
    averaged = _averaged(tally, layout, small)
    if k == 2:
        return FactorialFit(averaged, tuple(small), float("nan"), alpha, lambda: averaged)
    if k > MAX_FULL or len(layout.factorial) < 2**k:
        return FactorialFit(averaged, tuple(small), float("nan"), alpha)
    columns = terms(k, k)
    counts = tally.y[:, layout.factorial], tally.n[:, layout.factorial]
    common = fit_logit(*counts, model_matrix(layout.on, columns))
    high = np.arange(len(small), len(columns))
    p_higher = omnibus(common.beta[high], common.spread[:, high], common.n_used)
    return FactorialFit(averaged, tuple(columns), p_higher, alpha, partial(_averaged, tally, layout, columns, common))


def _averaged(tally: Tally, layout: Layout, columns: list[Term], common: LogitFit | None = None) -> LogitFit:
    """Effects as means over prompts."""
    y, n, half_y, half_n = (a[:, layout.factorial] for a in (tally.y, tally.n, tally.half_y, tally.half_n))
    x, sizes = model_matrix(layout.on, columns), np.array([len(term) for term in columns])
    fit = fit_logit(y, n, x) if common is None else common
    return prompt_average(fit, y, n, x, inflation_of(y, n, x, fit, half_y, half_n), sizes)
