"""What would decide an open claim: checked against intervals that shrink as they should."""

from __future__ import annotations

import math

import pytest

from multidir.experiments.deciding import rounded_up, would_decide
from multidir.records.verdict import Status
from multidir.stats.estimate import Estimate

OPEN = Status.UNDETERMINED
NAN = math.nan


def estimate(value: float, low: float, high: float, n: int = 100) -> Estimate:
    return Estimate(value, low, high, n, "cluster bootstrap")


@pytest.mark.parametrize(
    ("found", "bound", "ratio", "said"),
    [
        (estimate(0.3, -0.3, 0.9), 0.0, False, "About 400 prompts"),  # half the width
        (estimate(-0.3, -0.9, 0.3), 0.0, False, "About 400 prompts"),
        (estimate(2.0, 0.5, 8.0), 1.0, True, "About 400 prompts"),  # half the width on the logarithm
        (estimate(0.0, 0.0, 0.02), 0.005, False, "About 400 prompts"),  # nothing seen: the end falls as 1/n
    ],
)
def test_so_many_prompts_take_the_interval_off_its_bound(found: Estimate, bound: float, ratio: bool, said: str) -> None:
    assert would_decide(OPEN, (found, bound), ratio=ratio).startswith(said)


def test_the_hardest_question_counts_and_one_that_is_decided_does_not() -> None:
    easy, hard, done = (estimate(0.3, -0.1, 0.7), 0.0), (estimate(0.3, -0.3, 0.9), 0.0), (estimate(9, 8, 10), 0.0)
    assert would_decide(OPEN, easy, hard, done) == would_decide(OPEN, hard) != would_decide(OPEN, easy)
    assert would_decide(OPEN, done) == ""


def test_what_no_number_decides_is_said() -> None:
    assert would_decide(OPEN, (estimate(0.001, -1, 1), 0.0)).startswith("No number of prompts")
    assert would_decide(OPEN, (estimate(1, 1e-9, math.inf), 2.0), ratio=True).startswith("No number of prompts")
    assert would_decide(OPEN, (estimate(NAN, NAN, NAN), 0.0)).startswith("An interval is needed")


@pytest.mark.parametrize("status", [status for status in Status if status is not OPEN])
def test_of_a_claim_that_is_not_open_nothing_is_said(status: Status) -> None:
    assert would_decide(status, (estimate(0.3, -0.3, 0.9), 0.0)) == ""


def test_numbers_are_rounded_up_to_two_digits() -> None:
    assert [rounded_up(x) for x in (0.3, 7.2, 10, 101, 4321)] == [1, 8, 10, 110, 4400]
