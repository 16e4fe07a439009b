"""Published traces laid on tokens: as they were written, and as the paper's code rebuilds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multidir.annotate.published import read_published
from multidir.errors import ConfigError
from multidir.experiments.corpus.imports import import_published, locate_traces
from multidir.models.align import decode_text
from multidir.models.prompting import encode
from tests.models.tiny import tiny_tokenizer

REASONING = "Let me see.\n\n12 + 30 = 42. Wait, that is not right.\nGo back."
ANNOTATED = (
    '["initializing"] Let me see. ["end-section"] ["deduction"] 12 + 30 = 42. ["end-section"]'
    '["backtracking"] Wait, that is not right. ["end-section"] ["substitution"] Go back. ["end-section"]'
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"id": f"{c}_{i}", "category": c, "problem": "2 + 2?", "reasoning": REASONING, "annotated": ANNOTATED}
        for c in ("verbal", "spatial")
        for i in range(2)
    ]
    path = tmp_path / "traces.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def spelled(trace, sentence, tokenizer) -> str:
    return decode_text(tokenizer, trace.token_ids[sentence.token_start : sentence.token_end]).strip()


@pytest.mark.parametrize("rule", ["exact", "rebuilt"])
def test_every_section_is_on_its_own_tokens(file: Path, rule) -> None:
    tokenizer = tiny_tokenizer()
    found = import_published(file, tokenizer, "published/x", 1, 500, rule)
    assert [trace.id for trace in found.traces] == ["verbal_0", "spatial_0"]
    trace = found.traces[0]
    mine = [s for s in found.sentences if s.trace_id == trace.id]
    assert [s.label for s in mine] == ["initializing", "deduction", "backtracking", None], "an unknown label is none"
    sections = ["Let me see.", "12 + 30 = 42.", "Wait, that is not right.", "Go back."]
    assert [spelled(trace, s, tokenizer) for s in mine] == sections
    assert [trace.text[s.char_start : s.char_end] for s in mine] == sections
    assert trace.text == (REASONING if rule == "exact" else " ".join(sections))
    assert trace.token_ids[: trace.n_prompt][-1] != trace.token_ids[trace.n_prompt]
    assert (found.dropped, found.skipped, trace.finished) == (0, (), True)


def test_rebuilt_tokens_are_those_of_the_sections_one_by_one(file: Path) -> None:
    tokenizer = tiny_tokenizer()
    trace = import_published(file, tokenizer, "x", 1, 500, "rebuilt").traces[0]
    pieces = ["Let me see.", " 12 + 30 = 42.", " Wait, that is not right.", " Go back."]
    assert trace.token_ids[trace.n_prompt :] == tuple(i for piece in pieces for i in encode(tokenizer, piece))


def test_a_trace_that_changes_on_the_way_is_left_out_and_named(file: Path, monkeypatch) -> None:
    tokenizer = tiny_tokenizer()
    monkeypatch.setattr("multidir.experiments.corpus.imports.decode_text", lambda *_: "something else")
    found = import_published(file, tokenizer, "x", 1, 500, "rebuilt")
    assert (found.traces, found.sentences, found.skipped) == ([], [], ("verbal_0", "spatial_0"))
    assert len(import_published(file, tokenizer, "x", 1, 500).traces) == 2, "the text as written needs no such rule"


def test_what_lies_beyond_the_limit_is_counted(file: Path) -> None:
    tokenizer = tiny_tokenizer()
    whole = import_published(file, tokenizer, "x", 1, 500)
    cut = import_published(file, tokenizer, "x", 1, whole.traces[0].n_prompt + 14)
    assert not cut.traces[0].finished
    assert len(cut.traces[0].token_ids) == whole.traces[0].n_prompt + 14
    assert cut.dropped == len(whole.sentences) - len(cut.sentences) > 0


@pytest.mark.parametrize("rule", ["exact", "rebuilt"])
def test_published_sections_round_trip_through_tokens(reference: Path, rule) -> None:
    tokenizer, source = tiny_tokenizer(), reference / "r1_llama8b_traces_300.jsonl"
    found = import_published(source, tokenizer, "published/gpt-4o", 2, 100_000, rule)
    published = {trace.id: trace for trace in read_published(source)}
    assert len(found.traces) == 20
    assert (found.dropped, found.skipped) == (0, ())
    traces = {trace.id: trace for trace in found.traces}
    for sentence in found.sentences:
        trace = traces[sentence.trace_id]
        text = trace.text[sentence.char_start : sentence.char_end]
        assert text.split() == spelled(trace, sentence, tokenizer).split()
        if rule == "exact":
            assert text in published[trace.id].reasoning


def test_the_folder_is_named_by_a_variable(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path))
    assert locate_traces("env:SOME_FOLDER/a.jsonl") == tmp_path / "a.jsonl"
    monkeypatch.delenv("SOME_FOLDER")
    with pytest.raises(ConfigError, match="set the variable SOME_FOLDER"):
        locate_traces("env:SOME_FOLDER/a.jsonl")
    with pytest.raises(ConfigError, match="there is no trace file"):
        locate_traces(str(tmp_path / "b.jsonl"))
