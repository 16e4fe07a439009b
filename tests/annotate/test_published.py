from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multidir.annotate.published import parse_sections, read_published
from multidir.errors import AlignmentError, FormatError


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def row(**changes: object) -> dict[str, object]:
    return {
        "id": "verbal_0",
        "category": "verbal",
        "problem": "Which one?",
        "reasoning": "Okay, which one.\n\nWait, no. It is\n blue. </think> Blue.",
        "annotated": '["initializing"] Okay, which one. ["end-section"] ["backtracking"] Wait, no. ["end-section"] '
        '["deduction"] It is blue. ["end-section"]',
        **changes,
    }


def test_sections_and_exact_spans(tmp_path: Path) -> None:
    (trace,) = read_published(write(tmp_path / "t.jsonl", row(), ""))
    assert [s.label for s in trace.sections] == ["initializing", "backtracking", "deduction"]
    assert [trace.reasoning[s.start : s.end] for s in trace.spans()] == [
        "Okay, which one.",
        "Wait, no.",
        "It is\n blue.",
    ]
    assert trace.unaligned == ()


def test_the_cursor_only_moves_forward() -> None:
    sections = parse_sections(
        '["a"] No. ["end-section"] ["b"] No. ["end-section"] ["c"] No. ["end-section"]', "No. No."
    )
    assert [(s.start, s.end) for s in sections] == [(0, 3), (4, 7), (None, None)]


def test_a_label_without_end_ends_at_the_next() -> None:
    first, second = parse_sections('["a"] One. ["b"] Two. ["end-section"]', "One. Two.")
    assert (first.text, first.closed) == ("One.", False)
    assert (second.text, second.closed) == ("Two.", True)


def test_text_outside_sections_and_empty_sections_are_left_out() -> None:
    sections = parse_sections('So: ["a"] One. ["end-section"] junk ["b"]  ["end-section"]', "So: One. junk")
    assert [s.text for s in sections] == ["One."]


def test_unknown_labels_are_counted_and_not_negatives(tmp_path: Path) -> None:
    odd = row(annotated='["musing"] Okay, which one. ["end-section"] ["backtracking"] Wait, no. ["end-section"]')
    traces = read_published(write(tmp_path / "t.jsonl", odd))
    assert [section.label for section in traces[0].sections] == ["musing", "backtracking"]
    assert [span.label for span in traces[0].spans(["backtracking", "deduction"])] == [None, "backtracking"]


def test_a_broken_line_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"t\.jsonl:3: not valid JSON"):
        read_published(write(tmp_path / "t.jsonl", row(), "", '{"id": "x", "cat'))
    with pytest.raises(FormatError, match=r"t\.jsonl:1: expected an object with id, .*, got list"):
        read_published(write(tmp_path / "t.jsonl", [1, 2]))
    with pytest.raises(FormatError, match=r"t\.jsonl:2: reasoning missing or not text"):
        read_published(write(tmp_path / "t.jsonl", row(), {**row(id="b"), "reasoning": None}))
    with pytest.raises(FormatError, match=r"t\.jsonl:2: id 'verbal_0' was used before"):
        read_published(write(tmp_path / "t.jsonl", row(), row()))
    with pytest.raises(FormatError, match="no trace in it"):
        read_published(write(tmp_path / "t.jsonl", ""))
    with pytest.raises(FormatError, match="cannot be read"):
        read_published(tmp_path / "absent.jsonl")


def test_labels_of_another_text_are_refused(tmp_path: Path) -> None:
    wrong = write(tmp_path / "t.jsonl", row(), row(id="verbal_1", reasoning="Okay, which one. It is red."))
    with pytest.raises(
        AlignmentError, match=r"t\.jsonl:2: trace verbal_1: 2 of 3 sections.*section 1 \('Wait, no\.'\)"
    ):
        read_published(wrong)
    assert read_published(wrong, max_unaligned=0.7)[1].unaligned == (1, 2)


@example(parts=[("a", "x\nx"), ("a", "x x")])  # an equal text with the very same white space comes later
@given(parts=st.lists(st.tuples(st.sampled_from("abc"), st.text("xyz .\n", min_size=1, max_size=12)), max_size=6))
def test_what_was_annotated_is_found(parts: list[tuple[str, str]]) -> None:
    parts = [(label, text) for label, text in parts if text.strip()]
    reasoning = "\n\n".join(text for _, text in parts)
    annotated = " ".join(f'["{label}"] {" ".join(text.split())} ["end-section"]' for label, text in parts)
    sections = parse_sections(annotated, reasoning)
    assert [s.label for s in sections] == [label for label, _ in parts]
    assert all(reasoning[s.start : s.end].split() == s.text.split() for s in sections)
