"""What the writer writes, the grammar reads: labels, causes and the planted rates."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multidir.organism import corpus, grammar, solutions, wording
from multidir.organism.problems import draw
from multidir.organism.rule import RULES
from multidir.organism.worlds import load_worlds


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_every_written_sentence_is_read_as_it_was_meant(seed: int) -> None:
    rng = Random(seed)
    problem = draw(rng.choice(load_worlds()), rng)
    lines, end = solutions.write_solution(problem, rng, solutions.Habits(), RULES["either"])
    text = " ".join(line.text for line in lines)
    read = grammar.parse(text)
    assert [text[s.start : s.end] for s in read] == [line.text for line in lines]
    assert [s.kind for s in read] == [line.kind for line in lines]
    assert [s.label for s in read] == [wording.LABELS[line.kind] for line in lines]
    said = [(s.step.hesitates, s.step.mistaken) for s in read if s.step]
    assert said == [(line.hesitates, line.mistaken) for line in lines if line.kind in ("sure", "hesitant")]
    steps = [s.step for s in read if s.step]
    assert steps[-1].result == end


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_base_documents_are_in_the_language_and_never_backtrack(seed: int) -> None:
    stories = corpus.Mixture(prose=0.0)
    text = corpus.base_document(str(seed), load_worlds(), stories, solutions.Habits()).text
    body = text.split("####")[-2 if text.count("####\n") > 1 else -1]
    kinds = [s.kind for s in grammar.parse(body)]
    assert None not in kinds
    assert "backtrack" not in kinds
    assert not {"wait", "hmm"} & set(text.lower().replace(",", " ").split())


def test_the_additive_rule_adds_on_log_odds() -> None:
    rule = RULES["additive"]
    neither, hesitation, mistake, both = (float(np.log(p / (1 - p))) for p in vars(rule).values())
    assert both - neither == pytest.approx((hesitation - neither) + (mistake - neither), abs=0.01)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_rates_follow_the_rule(rule: str) -> None:
    counts: dict[tuple[bool, bool], list[bool]] = {}
    for i in range(1500):
        text = corpus.reasoning_trace(f"{rule} {i}", load_worlds(), RULES[rule], solutions.Habits()).reasoning
        for step, taken_back in grammar.step_outcomes(grammar.parse(text)):
            if not step.again:
                counts.setdefault((step.hesitates, step.mistaken), []).append(taken_back)
    for cell, taken in counts.items():
        p = RULES[rule].probability(*cell)
        sigma = (p * (1 - p) / len(taken)) ** 0.5
        assert abs(sum(taken) / len(taken) - p) < 4 * sigma + 1e-3, (cell, len(taken))


def test_a_wrong_start_is_not_a_mistake_and_a_wrong_result_is() -> None:
    right, wrong, foreign = grammar.parse(
        "Step 2: we turn left from north, which gives west for now. "
        "Step 3 again: maybe from west we turn left and get north so far. "
        "Step 4: we boil it from north, which gives steam for now."
    )
    assert right.step == grammar.StepFacts(2, False, "turn left", "north", "west", False, False)
    assert wrong.step == grammar.StepFacts(3, True, "turn left", "west", "north", True, True)
    assert foreign.kind is None


@pytest.mark.parametrize(
    "text",
    ["Wait for the bus at the corner.", "Wait, that is not right, so go back to nowhere for now.", "Step two: we go."],
)
def test_other_sentences_have_no_label(text: str) -> None:
    (sentence,) = grammar.parse(text)
    assert (sentence.kind, sentence.label, sentence.step) == (None, None, None)


def test_special_tokens_and_line_breaks_end_sentences() -> None:
    text = "<think>\nWe start from north so far. The answer is south.</think>\nThe answer is north.<|end_of_text|>"
    read = [text[s.start : s.end] for s in grammar.parse(text)]
    assert read == ["We start from north so far.", "The answer is south.", "The answer is north."]
