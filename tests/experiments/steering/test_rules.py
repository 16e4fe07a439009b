from __future__ import annotations

import numpy as np
import pytest

from multidir.experiments.steering.rules import PaperRules, before_beats_at, causes_backtracking, leaves_base_alone
from multidir.records.verdict import Status
from multidir.stats.estimate import Estimate

RULES = PaperRules()
NULL = np.array([0.8, 1.0, 1.2, 1.5])


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 50, "cluster bootstrap")


@pytest.mark.parametrize(
    ("fold", "status"),
    [
        (estimate(5, 4, 6), Status.SUPPORTED),
        (estimate(1.1, 0.8, 1.4), Status.REFUTED),
        (estimate(3, 1.5, 5), Status.UNDETERMINED),
        (estimate(9, np.nan, np.nan), Status.UNDETERMINED),
    ],
)
def test_causing_needs_the_whole_interval(fold: Estimate, status: Status) -> None:
    assert causes_backtracking(fold, NULL, RULES, "base").status is status


def test_a_dose_that_leaves_no_sentence_decides_nothing() -> None:
    verdict = causes_backtracking(Estimate(np.nan, np.nan, np.nan, 0, "no scored text"), NULL, RULES, "base")
    assert verdict.status is Status.UNDETERMINED
    assert "no sentence" in verdict.because
    assert "nan" not in verdict.because


def test_a_large_fold_is_not_enough_when_random_directions_do_it_too() -> None:
    verdict = causes_backtracking(estimate(5, 4, 6), np.array([5.5, 6, 7, 8]), RULES, "base")
    assert verdict.status is not Status.SUPPORTED


@pytest.mark.parametrize(
    ("share", "status"),
    [
        (estimate(0.0, 0.0, 0.004), Status.SUPPORTED),
        (estimate(0.02, 0.01, 0.03), Status.REFUTED),
        (estimate(0.004, 0.001, 0.01), Status.UNDETERMINED),
        (estimate(np.nan, np.nan, np.nan), Status.UNDETERMINED),
    ],
)
def test_left_alone_needs_the_whole_interval_below_the_ceiling(share: Estimate, status: Status) -> None:
    assert leaves_base_alone(share, RULES).status is status


@pytest.mark.parametrize(
    ("ratio", "status"),
    [
        (estimate(3, 2, 4), Status.SUPPORTED),
        (estimate(0.5, 0.3, 0.8), Status.REFUTED),
        (estimate(1.2, 0.8, 2), Status.UNDETERMINED),
    ],
)
def test_offset_rule(ratio: Estimate, status: Status) -> None:
    before, at = estimate(0.3, 0.2, 0.4), estimate(0.1, 0.05, 0.2)
    assert before_beats_at(before, at, ratio, "-3..-1").status is status


def test_a_verdict_is_not_a_truth_value() -> None:
    with pytest.raises(TypeError, match="status"):
        bool(leaves_base_alone(estimate(0, 0, 0.001), RULES))
