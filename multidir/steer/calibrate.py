"""From a budget of KL divergence to a dose in residual-stream units, by bisection over texts that are already written.

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
"""First dose that is tried, in residual-stream units; from there doubled or halved until the budget is passed."""
DOUBLINGS = 24
"""A budget that no dose from START / 2**24 to START * 2**24 meets is out of reach."""


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
    searches = {i: _Search(item) for i, item in enumerate(interventions) if item.dose.unit == "kl" and item.dose.value}
    if searches and not contexts:
        raise ConfigError("a budget of KL divergence is calibrated on texts; give at least one")
    while unsettled := [search for search in searches.values() if search.dose is None]:
        tried = [_at(search.item, search.next) for search in unsettled]
        found = teacher_forced(lm, contexts, tried, seed=seed)
        reached = np.quantile(np.concatenate([each.kl for each in found], axis=1), quantile, axis=1)
        for search, kl in zip(unsettled, reached, strict=True):
            search.see(float(kl), tolerance)
    doses = {i: search.dose for i, search in searches.items()}
    return [item if item.dose.unit != "kl" else _at(item, doses.get(i) or 0.0) for i, item in enumerate(interventions)]


def _at(item: Intervention, dose: float) -> Intervention:
    return replace(item, dose=Dose(dose, "residual"))


@dataclass
class _Search:
    """The dose of one intervention, between one that moves too little and one that moves too much."""

    item: Intervention
    low: float = 0.0
    high: float = float("inf")
    next: float = 0.0
    dose: float | None = None

    def __post_init__(self) -> None:
        self.next = float(np.copysign(START, self.item.dose.value))

    def see(self, kl: float, tolerance: float) -> None:
        """Take what the dose that was tried reached, and choose the next one."""
        budget, size, sign = abs(self.item.dose.value), abs(self.next), np.sign(self.next)
        self.low, self.high = (size, self.high) if kl < budget else (self.low, size)
        close = abs(kl - budget) <= tolerance * budget
        narrow = self.low > 0 and self.high < self.low * (1 + tolerance**2)  # a jump: no dose reaches it exactly
        if close or narrow:
            self.dose = self.next
            return
        if not START / 2**DOUBLINGS < size < START * 2**DOUBLINGS:
            raise ConfigError(
                f"no dose of {self.item.name!r} moves the next token by {budget:g} nats: at {self.next:g} in "
                f"residual units it is {kl:.3g}; ask for another budget, or on other texts"
            )
        bracketed = self.low > 0 and self.high < float("inf")
        larger = size * 2 if self.high == float("inf") else size / 2
        self.next = float(sign * (np.sqrt(self.low * self.high) if bracketed else larger))
