"""An estimate in writing: value and interval together, and an unknown interval in words."""

from __future__ import annotations

import math

import pytest

from multidir.stats.estimate import Estimate

KNOWN = Estimate(0.7234, 0.5612, 0.8901, 50, "clustered", "log-odds")
OPEN = Estimate(2.5, math.nan, math.nan, 1, "clustered")


@pytest.mark.parametrize(
    ("estimate", "spec", "text"),
    [
        (KNOWN, "+.2f", "+0.72 [0.56, 0.89]"),
        (KNOWN, ".1f", "0.7 [0.6, 0.9]"),
        (KNOWN, "", "0.723 [0.561, 0.89] (log-odds, n=50, clustered)"),
        (OPEN, ".1f", "2.5 [not estimable]"),
    ],
)
def test_an_estimate_is_written_with_its_interval(estimate: Estimate, spec: str, text: str) -> None:
    assert format(estimate, spec) == text


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((0.3604, 0.31, 0.414), "36% [31, 41]"),
        ((0.0081, 0.002, 0.014), "0.8% [0.2, 1.4]"),
        ((0.0, 0.0, 0.004), "0.0% [0.0, 0.4]"),
        ((0.5, math.nan, math.nan), "50% [not estimable]"),
    ],
)
def test_a_share_is_written_in_percent(ends: tuple[float, float, float], text: str) -> None:
    assert Estimate(*ends, 10, "Wilson").percent == text


def test_another_sign_turns_the_interval_round_and_an_unknown_one_stays_unknown() -> None:
    turned = Estimate(0.1, -0.1, 0.4, 10, "t").times(-100)
    assert (turned.value, turned.low, turned.high, turned.n) == (-10.0, -40.0, 10.0, 10)
    assert not Estimate(0.1, math.nan, math.nan, 1, "t").times(-1).has_interval
