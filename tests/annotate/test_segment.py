from __future__ import annotations

import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.annotate.segment import split_sentences


def pieces(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 3.14 cm. So it fits.", ["It is 3.14 cm.", "So it fits."]),
        ("Dr. Lee and Mrs. May met at 5 p.m. today.", ["Dr. Lee and Mrs. May met at 5 p.m. today."]),
        ("Take a prime, e.g. Seven. Then add one.", ["Take a prime, e.g. Seven.", "Then add one."]),
        ("We came back to the U.S. The trip was long.", ["We came back to the U.S.", "The trip was long."]),
        ("A firm in the U.S. Senate area.", ["A firm in the U.S. Senate area."]),
        (
            "See Fig. 3 for it. Is that no. 4? No. It is not.",
            ["See Fig. 3 for it.", "Is that no. 4?", "No.", "It is not."],
        ),
        ("1. Add two.\n2. Take one.", ["1. Add two.", "2. Take one."]),
        ("- a) First.\n- b) Second. Third.", ["- a) First.", "- b) Second.", "Third."]),
        ("Hmm... wait, is it so? Yes!", ["Hmm... wait, is it so?", "Yes!"]),
        ("Hmm... Wait. No\u2026 Maybe.", ["Hmm...", "Wait.", "No\u2026", "Maybe."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("(It holds.) Now the rest.", ["(It holds.)", "Now the rest."]),
        ("**Step 1:** Done. **Step 2:** Go.", ["**Step 1:** Done.", "**Step 2:** Go."]),
        ("What?! Really?? Ok.", ["What?!", "Really??", "Ok."]),
        ("One line\nanother line\n\nA paragraph.", ["One line", "another line", "A paragraph."]),
        ("Use `a. B. c` here. Done.", ["Use `a. B. c` here.", "Done."]),
        ("Code:\n```\nx = 1. Y\n\nprint(x)\n```\nEnd.", ["Code:", "```\nx = 1. Y\n\nprint(x)\n```", "End."]),
        ("```\nnever closed. Still code", ["```\nnever closed. Still code"]),
        ("It costs 5. \u221a2 is more. 7 is less.", ["It costs 5.", "\u221a2 is more.", "7 is less."]),
        ("So x = A. Then y = B.", ["So x = A.", "Then y = B."]),
        ("", []),
        (" \n\t ", []),
        ("no stop at all", ["no stop at all"]),
        ("Unfinished. And the", ["Unfinished.", "And the"]),
    ],
)
def test_cases(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


@given(st.text(alphabet=string.ascii_letters + ".!?\u2026 \n\t`\"'()0159*-\u00e9\u2028", max_size=120))
def test_spans_cover_all_that_is_not_space(text: str) -> None:
    spans = split_sentences(text)
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    covered = {i for start, end in spans for i in range(start, end)}
    assert {i for i, letter in enumerate(text) if not letter.isspace()} <= covered
    assert all(not text[start].isspace() and not text[end - 1].isspace() for start, end in spans)


@given(st.text(max_size=80))
def test_any_text_is_covered(text: str) -> None:
    assert "".join("".join(pieces(text)).split()) == "".join(text.split())


@given(st.lists(st.sampled_from(["So it is two.", "Is it?", "No!", "Then we add 0.5."]), min_size=1, max_size=8))
def test_joined_sentences_come_apart_again(sentences: list[str]) -> None:
    assert pieces(" ".join(sentences)) == sentences
    assert pieces("\n\n".join(sentences)) == sentences
