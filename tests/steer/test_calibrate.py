"""Doses by budget of KL divergence: the budget is met, by whatever is done."""

from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import ConfigError
from multidir.models.forced import Context
from multidir.models.language_model import LanguageModel
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.steer.calibrate import calibrate
from multidir.steer.forced import teacher_forced
from multidir.steer.steering import row_edits
from tests.steer.arms import add, direction

CONTEXTS = [Context(range(5 + i, 25 + i), tuple(range(4, 20)), 4) for i in range(6)]


def budget(nats: float, seed: int = 0, length: float = 3.0, scope: str = "all") -> Intervention:
    return Intervention(direction(seed, length=length), Dose(nats, "kl"), scope=Scope.of(scope))


def reached(lm: LanguageModel, item: Intervention, quantile: float = 0.95) -> float:
    return float(np.quantile(np.concatenate([f.kl for f in teacher_forced(lm, CONTEXTS, [item])], 1), quantile))


def test_every_budget_is_met(lm: LanguageModel) -> None:
    asked = [budget(0.01), budget(0.3, 1), budget(1.0, 2), budget(-0.3, 1), budget(0.3, 1, scope="generated")]
    asked.append(Intervention(Noise(Site(1)), Dose(0.1, "kl"), "noise"))
    found = calibrate(lm, asked, CONTEXTS)
    for one, item in zip(asked, found, strict=True):
        assert item.dose.unit == "residual"
        assert np.sign(item.dose.value) == np.sign(one.dose.value)
        assert reached(lm, item) == pytest.approx(abs(one.dose.value), rel=0.021)
        assert (item.subject, item.scope, item.operator) == (one.subject, one.scope, one.operator)
    assert found[1].dose != found[2].dose


def test_length_of_the_direction_does_not_matter(lm: LanguageModel) -> None:
    short, long = calibrate(lm, [budget(0.3, length=0.1), budget(0.3, length=50.0)], CONTEXTS)
    assert short.dose == long.dose


def test_other_quantiles_are_other_doses(lm: LanguageModel) -> None:
    (median,) = calibrate(lm, [budget(0.3)], CONTEXTS, quantile=0.5)
    assert reached(lm, median, 0.5) == pytest.approx(0.3, rel=0.021)
    assert reached(lm, median) > 0.4


def test_other_units_and_zero_pass(lm: LanguageModel) -> None:
    plain, none = calibrate(lm, [add(2.0), budget(0.0)], CONTEXTS)
    assert plain.dose == Dose(2.0, "residual")
    assert none.dose == Dose(0.0, "residual")
    assert calibrate(lm, [add(2.0)], [])[0].dose == plain.dose, "no text is needed then"


def test_a_budget_out_of_reach_names_what_was_reached(lm: LanguageModel) -> None:
    with pytest.raises(ConfigError, match=r"no dose of 'random-0' moves the next token by 1e\+06 nats: at .* it is"):
        calibrate(lm, [budget(1e6)], CONTEXTS)
    with pytest.raises(ConfigError, match="calibrated on texts; give at least one"):
        calibrate(lm, [budget(1.0)], [])


def test_without_calibration_such_a_dose_is_refused(lm: LanguageModel) -> None:
    with pytest.raises(ConfigError, match=r"calibrate it first with steer\.calibrate"):
        row_edits(lm, [budget(1.0)])
    row_edits(lm, calibrate(lm, [budget(1.0)], CONTEXTS))
