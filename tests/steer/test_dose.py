"""Doses in their units."""

from __future__ import annotations

import pytest

from multidir.errors import ConfigError
from multidir.records.intervention import Dose
from multidir.steer.dose import to_residual_units
from tests.steer.arms import direction

CASES = [(Dose(2, "residual"), 2), (Dose(-2, "relative"), -14), (Dose(2, "activation"), 6)]


@pytest.mark.parametrize(("dose", "expected"), CASES)
def test_units(dose: Dose, expected: float) -> None:
    assert to_residual_units(dose, direction(length=3.0), mean_norm=7.0) == pytest.approx(expected)


@pytest.mark.parametrize("norm", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_relative_dose_needs_a_usable_norm(norm: float | None) -> None:
    with pytest.raises(ConfigError, match=r"dose 2x of 'random-0' is relative to the mean .* at L1\.resid_post"):
        to_residual_units(Dose(2, "relative"), direction(), norm)
    assert to_residual_units(Dose(2, "residual"), direction(), norm) == 2
