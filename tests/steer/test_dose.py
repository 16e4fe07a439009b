"""Doses in their units."""

from __future__ import annotations

import pytest

from multidir.errors import ConfigError
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.site import Site
from multidir.steer.dose import amount, to_residual_units
from tests.steer.arms import direction

CASES = [(Dose(2, "residual"), 2), (Dose(-2, "relative"), -14), (Dose(2, "activation"), 6)]


@pytest.mark.parametrize(("dose", "expected"), CASES)
def test_units(dose: Dose, expected: float) -> None:
    assert to_residual_units(dose, direction(length=3.0), mean_norm=7.0) == pytest.approx(expected)


def test_doses_of_other_subjects() -> None:
    site, noise = Site(1), Noise(Site(1))
    assert to_residual_units(Dose(2, "relative"), noise, 7.0) == to_residual_units(Dose(2, "relative"), site, 7.0) == 14
    eraser = Intervention(Eraser.project_out(direction()), operator="erase")
    assert amount(eraser)[1:] == (1, "share")
    assert amount(Intervention(site, Dose(2, "activation"), "amplify"))[1:] == (2, "activation")
    assert amount(Intervention(site, Dose(2, "relative"), "amplify"), 7.0)[1:] == (14, "residual")
    assert amount(Intervention(direction(length=3), Dose(2, "activation")))[1:] == (6, "residual")
    with pytest.raises(ConfigError, match=r"dose 2x of 'L1\.resid_post' is relative to the mean residual norm at L1"):
        to_residual_units(Dose(2, "relative"), site)


def test_a_kl_budget_is_calibrated_first() -> None:
    with pytest.raises(
        ConfigError, match=r"dose 1 nats of 'random-0' is a budget .* calibrate it first with steer\.calibrate"
    ):
        to_residual_units(Dose(1, "kl"), direction(), 7.0)


@pytest.mark.parametrize("norm", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_relative_dose_needs_a_usable_norm(norm: float | None) -> None:
    with pytest.raises(ConfigError, match=r"dose 2x of 'random-0' is relative to the mean .* at L1\.resid_post"):
        to_residual_units(Dose(2, "relative"), direction(), norm)
    assert to_residual_units(Dose(2, "residual"), direction(), norm) == 2
