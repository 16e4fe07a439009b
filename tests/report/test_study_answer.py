"""The top of a study's page: two sentences that follow from the verdicts, and the claims that are open."""

from __future__ import annotations

import pytest

from multidir.records.verdict import Status, Verdict
from multidir.report.page import Page, render_page
from multidir.report.study_answer import NOT_MEASURED, answer, open_section
from multidir.stats.estimate import Estimate


def steered(status: Status = Status.SUPPORTED, **more: str) -> Verdict:
    fold = Estimate(5.31, 4.19, 7.24, 100, "cluster bootstrap", "fold")
    return Verdict("A push makes it backtrack.", status, "Because.", "rule", {"fold": fold}, **more)


def left_alone() -> Verdict:
    share = Estimate(0.0, 0.0, 0.004, 100, "Wilson", "share")
    return Verdict("The same push leaves the base alone.", Status.SUPPORTED, "Because.", "rule", {"share": share})


def pair() -> Verdict:
    found = {"interaction": Estimate(0.72, 0.56, 0.89, 50, "clustered", "log-odds")}
    claim = "Directions a and b, averaged over all places: synergy. Together they do more."
    return Verdict(claim, Status.SUPPORTED, "Because.", "rule", found, label="synergy")


def test_the_answer_is_two_sentences_with_an_interval_on_every_number() -> None:
    assert answer([steered(), left_alone(), pair()], []) == (
        "A push makes it backtrack (5.3 [4.2, 7.2] times the unsteered level); "
        "the same push leaves the base alone (0.0% [0.0, 0.4] of its sentences).",
        "Directions a and b, averaged over all places: synergy (+0.72 [0.56, 0.89] on log-odds); "
        "together they do more.",
    )


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        (Status.REFUTED, "It does not hold that a push makes it backtrack"),
        (Status.UNDETERMINED, "Whether a push makes it backtrack is open"),
        (Status.INVALID, "Whether a push makes it backtrack cannot be said"),
    ],
)
def test_a_claim_that_is_not_supported_is_never_stated_as_if_it_were(status: Status, begins: str) -> None:
    assert answer([steered(status)], [])[0].startswith(begins)


def test_what_was_not_measured_is_said() -> None:
    assert answer([steered()], [])[1] == NOT_MEASURED
    assert answer([pair()], []) == answer([steered(), pair()], [])[1:]
    noted = [{"notes": {"headline": "three prompts"}}, {"notes": {}}]
    assert answer([], noted) == ("Three prompts.",)
    assert answer([], []) == ("Nothing was measured.",)


def test_open_claims_stand_with_what_would_decide_them_and_decided_ones_do_not() -> None:
    some = open_section([left_alone(), steered(Status.UNDETERMINED, would_decide="About 400 prompts.")])
    html = render_page(Page("t", "q", ("a",), (some,)))
    assert "About 400 prompts." in html
    assert "leaves the base alone" not in html
    assert open_section([left_alone()]).lead.startswith("Nothing: each of the claims above was decided")
