"""From a budget of KL divergence to a dose in residual-stream units, searched on texts that are already written.

    the dose at which the 95th percentile over all asked positions of KL(steered || unsteered) is the budget

So methods that move the residual stream by different lengths stand on one axis: how far they move the next token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from multidir.errors import ConfigError
from multidir.models.forced import Context
from multidir.models.language_model import LanguageModel
from multidir.records.intervention import Dose, Intervention
from multidir.steer.forced import teacher_forced

START = 1.0
"""First factor that is tried: residual-stream units for a dose that `calibrate` is given."""
DOUBLINGS = 24
"""A budget that no factor from START / 2**24 to START * 2**24 meets is out of reach."""
GUESSES = 8
"""Factors that are guessed; whoever is not there by then is bisected, which ends also at jumps and below ceilings."""


def calibrate(
    lm: LanguageModel,
    interventions: Sequence[Intervention],
    contexts: Sequence[Context],
    quantile: float = 0.95,
    tolerance: float = 0.02,
    seed: int = 0,
) -> list[Intervention]:
    """The same interventions with every dose in `kl` turned into residual units; its sign is kept.

    Each is calibrated alone, all of them together in each pass over the texts.

    Args:
        contexts: neutral texts, and the positions at which the divergence counts. Positions that a scope leaves
            unedited count as unmoved.
        quantile: of the divergence over all positions.
        tolerance: share by which the divergence may miss the budget.
        seed: for operators that draw.
    Raises:
        ConfigError: no text, or a budget that no dose meets, naming what was reached.
    """
    asked = [item for item in interventions if item.dose.unit == "kl" and item.dose.value]
    units = [replace(item, dose=Dose(float(np.copysign(1, item.dose.value)), "residual")) for item in asked]
    budgets = [abs(item.dose.value) for item in asked]
    factors = iter(meet_budgets(lm, [(unit,) for unit in units], budgets, contexts, quantile, tolerance, seed))
    met = iter([times(unit, next(factors)) for unit in units])
    return [
        item if item.dose.unit != "kl" else next(met) if item.dose.value else replace(item, dose=Dose(0, "residual"))
        for item in interventions
    ]


def meet_budgets(
    lm: LanguageModel,
    mixtures: Sequence[Sequence[Intervention]],
    budgets: Sequence[float],
    contexts: Sequence[Context],
    quantile: float = 0.95,
    tolerance: float = 0.02,
    seed: int = 0,
) -> list[float]:
    """By which factor all doses of each mixture have to be multiplied for the divergence to be its budget.

    Args:
        mixtures: interventions that are made together; their doses stay in proportion.
        budgets: in nats, one per mixture.
        contexts: as in `calibrate`, and so on.
    Raises:
        ConfigError: as `calibrate`.
    """
    searches = [_Search(tuple(items), budget) for items, budget in zip(mixtures, budgets, strict=True)]
    if searches and not contexts:
        raise ConfigError("a budget of KL divergence is calibrated on texts; give at least one")
    while unsettled := [search for search in searches if search.factor is None]:
        tried = [[times(item, search.next) for item in search.items] for search in unsettled]
        found = teacher_forced(lm, contexts, tried, seed=seed)
        reached = np.quantile(np.concatenate([each.kl for each in found], axis=1), quantile, axis=1)
        for search, kl in zip(unsettled, reached, strict=True):
            search.see(float(kl), tolerance)
    return [float(search.factor or 0.0) for search in searches]


def times(item: Intervention, factor: float) -> Intervention:
    """The same intervention at a multiple of its dose."""
    return replace(item, dose=Dose(item.dose.value * factor, item.dose.unit))


@dataclass
class _Search:
    """The factor of one mixture, between one that moves too little and one that moves too much."""

    items: tuple[Intervention, ...]
    budget: float
    low: float = 0.0
    high: float = float("inf")
    next: float = START
    factor: float | None = None
    tried: int = 0

    def see(self, kl: float, tolerance: float) -> None:
        """Take what the factor that was tried reached, and choose the next one."""
        tried, self.tried = self.next, self.tried + 1
        self.low, self.high = (tried, self.high) if kl < self.budget else (self.low, tried)
        close = abs(kl - self.budget) <= tolerance * self.budget
        narrow = self.low > 0 and self.high < self.low * (1 + tolerance**2)  # a jump: no dose reaches it exactly
        if close or narrow:
            self.factor = tried
            return
        if not START / 2**DOUBLINGS < tried < START * 2**DOUBLINGS:
            item = self.items[0]
            raise ConfigError(
                f"no dose of {item.name!r} moves the next token by {self.budget:g} nats: at "
                f"{times(item, tried).dose} it is {kl:.3g}; ask for another budget, or on other texts"
            )
        self.next = self._guess(kl)

    def _guess(self, kl: float) -> float:
        """Where the budget would be met if the divergence grew with the square of the dose, as it does at first."""
        guess = self.next * min(max((self.budget / kl) ** 0.5 if kl > 0 else 2.0, 1 / 8), 8.0)
        if self.tried <= GUESSES and self.low < guess < self.high:
            return guess
        if self.high == float("inf"):
            return self.next * 2
        return float(np.sqrt(self.low * self.high)) if self.low > 0 else self.next / 2
