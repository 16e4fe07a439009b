"""Numbers in words: digits that mean something, unknowns that say so."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.report import words


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.3604, "36%"), (0.0081, "0.8%"), (0.0, "0.0%"), (1.0, "100%"), (0.0999, "10%"), (0.099, "9.9%")],
)
def test_percent(share: float, text: str) -> None:
    assert words.percent(share) == text


def test_intervals() -> None:
    assert words.percent_estimate(0.36, 0.31, 0.41) == "36% [31, 41]"
    assert words.percent_estimate(0.004, 0.001, 0.012) == "0.4% [0.1, 1.2]"
    assert words.estimate(0.31, 0.22, 0.4) == "0.31 [0.22, 0.40]"
    assert words.fold(4.32, 3.1, 5.94) == "4.3x [3.1, 5.9]"
    assert words.fold(4.32) == "4.3x"
    assert words.fold(40.2, 25.4, 60.0) == "40x [25, 60]"


@pytest.mark.parametrize("unknown", [None, math.nan, np.float64("nan"), pd.NA, pd.NaT])
def test_an_unknown_is_not_a_number(unknown: float) -> None:
    assert words.percent(unknown) == words.estimate(unknown, 0, 1) == words.fold(unknown) == "not scored"
    assert words.estimate(0.3, unknown, unknown) == "0.30 [not estimable]"
    assert words.percent_estimate(0.3, unknown, 0.4) == "30% [not estimable]"


@given(st.floats(0, 1))
def test_percent_is_close_to_the_share(share: float) -> None:
    assert float(words.percent(share)[:-1]) == pytest.approx(100 * share, abs=0.51)


@pytest.mark.parametrize(
    ("items", "text"), [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_joined(items: list[str], text: str) -> None:
    assert words.joined(items) == text


def test_windows_doses_and_capitals() -> None:
    assert words.window(-13.0, -8.0) == "-13..-8"
    assert "residual norm" in words.dose_axis("relative")
    assert words.dose_axis("kl") == "dose (kl)"
    assert words.capital("the L3 site") == "The L3 site"
    assert words.capital("") == ""
