from __future__ import annotations

import pytest

from multidir.annotate.base import LabelledSpan, transfer_labels
from multidir.annotate.lexical import LexicalAnnotator, classify, keyword_count
from multidir.annotate.taxonomy import load_taxonomy
from multidir.errors import ConfigError


@pytest.mark.parametrize(
    "sentence",
    [
        "Wait, no, that is the wrong side.",
        "Hold on, the total was seven.",
        "Actually, I see my mistake.",
        "Let me start over with the second row.",
        "Wait, I counted the corner twice, so let me count again from the left.",
        "No, wait \u2014 it\u2019s the other door.",
    ],
)
def test_turning_points(sentence: str) -> None:
    assert classify(sentence) == "backtracking"


@pytest.mark.parametrize(
    "sentence",
    [
        "The passengers wait for the train.",
        "Wait, is that right?",
        "Wait, let me double-check the sum.",
        "There is no way around it.",
        "She was awaiting an answer.",
    ],
)
def test_no_turning_points(sentence: str) -> None:
    assert classify(sentence) != "backtracking"


def test_all_six_labels_occur_and_no_other() -> None:
    text = (
        "Okay, so I need to figure out the area. I remember that it is pi r squared. For example, r could be 2. "
        "So the area is four pi. I'm not sure about the unit. Wait, no, it is given in the task.\n---\n"
    )
    spans = LexicalAnnotator().label(text)
    assert [span.label for span in spans] == [
        "initializing",
        "adding-knowledge",
        "example-testing",
        "deduction",
        "uncertainty-estimation",
        "backtracking",
        None,
    ]
    assert {span.label for span in spans[:-1]} == set(load_taxonomy().names)
    assert text[spans[3].start : spans[3].end] == "So the area is four pi."
    assert LexicalAnnotator().name == "lexical/1"


def test_keywords_by_both_rules() -> None:
    text = "Wait! The waiting room awaits; hmm, wait."
    assert keyword_count(text, ["wait"]) == 2
    assert keyword_count(text, ["wait"], "substring") == 4
    assert keyword_count(text, ["wait", "hmm"]) == 3
    assert keyword_count("a+b (a+b) aa+bb", ["a+b"]) == 2
    assert keyword_count("let me see", ["let me", "let"]) == 1


def test_bad_keywords_are_refused() -> None:
    with pytest.raises(ConfigError, match="keywords must be words"):
        keyword_count("x", [])
    with pytest.raises(ConfigError, match="keywords must be words"):
        keyword_count("x", ["wait", " "])
    with pytest.raises(ConfigError, match="no keyword rule 'regex'"):
        keyword_count("x", ["wait"], "regex")


def test_labels_go_to_the_spans_they_cover_most() -> None:
    labelled = [LabelledSpan(0, 10, "a"), LabelledSpan(10, 12, "b"), LabelledSpan(12, 30, None)]
    assert transfer_labels(labelled, [(0, 4), (5, 12), (9, 11), (12, 20), (40, 50)]) == ["a", "a", "a", None, None]
    assert transfer_labels([LabelledSpan(0, 3, "b"), LabelledSpan(4, 9, "c")], [(0, 9)]) == ["c"]
    assert transfer_labels([], [(0, 1)]) == [None]
