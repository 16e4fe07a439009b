"""Prompts, special tokens and alignment of tokens with text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from multidir.errors import AlignmentError, ConfigError, FormatError, ModelError
from multidir.models.align import chars_to_tokens, decode_text, token_spans, trace_token_spans
from multidir.models.language_model import LanguageModel
from multidir.models.prompting import encode, render_prompt
from multidir.models.special import SpecialMap, differing_ids
from multidir.records.text import Trace
from tests.models.tiny import tiny_lm, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def test_template_text_gets_exactly_one_bos(lm: LanguageModel) -> None:
    """The template writes BOS and the tokenizer would add one: the trap of the doubled BOS."""
    ids = render_prompt(lm.tokenizer, "12 + 30")
    assert ids.count(0) == 1
    assert ids[0] == 0
    assert lm.tokenizer.decode(ids) == "<bos><|User|>12 + 30<|Assistant|><think>\n"
    assert lm.tokenizer(lm.tokenizer.decode(ids)).input_ids[:2] == [0, 0], "the naive way has two"


def test_model_without_template_reads_plain_text_after_its_bos(lm: LanguageModel) -> None:
    base = replace(lm, tokenizer=tiny_tokenizer(chat=False))
    assert base.tokenizer.decode(render_prompt(base.tokenizer, "12 + 30")) == "<bos>12 + 30"


def test_template_with_two_bos_is_refused(lm: LanguageModel) -> None:
    lm.tokenizer.chat_template = "{{ bos_token }}{{ bos_token }}{{ messages[0]['content'] }}"
    with pytest.raises(ModelError, match="two BOS tokens"):
        render_prompt(lm.tokenizer, "x")


def test_empty_prompt_is_refused(lm: LanguageModel) -> None:
    with pytest.raises(ConfigError, match="nothing to continue"):
        render_prompt(lm.tokenizer, " \n")


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_spans_cover_any_text_exactly(text: str) -> None:
    ids = encode(TOKENIZER, text)
    spans = token_spans(TOKENIZER, ids, text)
    assert [s for s, _ in spans] == sorted(s for s, _ in spans)
    assert [e for _, e in spans] == sorted(e for _, e in spans)
    assert {i for s, e in spans for i in range(s, e)} == set(range(len(text)))
    for start in range(0, len(text), 3):
        first, last = chars_to_tokens(spans, start, len(text))
        assert spans[first][0] <= start < spans[first][1]
        assert spans[last - 1][1] == len(text)
        assert first == 0 or spans[first - 1][1] <= start


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=30))
def test_spans_follow_the_decoder_for_any_ids(ids: list[int]) -> None:
    """Also for ids no text would give: broken characters, special tokens in the middle."""
    text = decode_text(TOKENIZER, ids)
    spans = token_spans(TOKENIZER, ids, text)
    assert {i for s, e in spans for i in range(s, e)} == set(range(len(text)))


def test_character_spread_over_tokens_belongs_to_each() -> None:
    text = "a\U0001f600b"
    ids = encode(TOKENIZER, text)
    spans = token_spans(TOKENIZER, ids, text)
    assert spans == [(0, 1), (1, 2), (1, 2), (1, 2), (1, 2), (2, 3)]
    assert chars_to_tokens(spans, 1, 2) == (1, 5)


def test_re_tokenising_would_change_the_ids() -> None:
    """Stored ids need not be what the tokenizer makes of their text: the trap of decode -> encode."""
    whole = encode(TOKENIZER, "Wait")
    letters = tuple(i for c in "Wait" for i in encode(TOKENIZER, c))
    assert len(whole) == 1 < len(letters) == 4
    assert encode(TOKENIZER, decode_text(TOKENIZER, letters)) == whole
    assert token_spans(TOKENIZER, letters, "Wait") == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_special_tokens_have_empty_spans_and_added_words_do_not() -> None:
    ids = (0, *encode(TOKENIZER, "Wait"), 3, *encode(TOKENIZER, "</think>"), 1)
    assert decode_text(TOKENIZER, ids) == "Wait</think>"
    spans = token_spans(TOKENIZER, ids)
    assert spans == [(0, 0), (0, 4), (4, 4), (4, 12), (12, 12)]
    assert chars_to_tokens(spans, 0, 4) == (1, 2)
    assert chars_to_tokens(spans, 4, 12) == (3, 4)


def test_repeated_sentences_keep_their_own_tokens() -> None:
    """Spans are positions, not searches: a second `Wait,` is not mapped onto the first."""
    text = "Wait, no. Wait, no."
    spans = token_spans(TOKENIZER, encode(TOKENIZER, text), text)
    first, second = chars_to_tokens(spans, 0, 9), chars_to_tokens(spans, 10, 19)
    assert first[1] <= second[0]


def test_characters_outside_are_refused() -> None:
    spans = token_spans(TOKENIZER, encode(TOKENIZER, "Wait"))
    for start, end in ((2, 2), (3, 1), (0, 5), (4, 6)):
        with pytest.raises(AlignmentError, match="the tokens hold 4 characters"):
            chars_to_tokens(spans, start, end)


def test_other_text_is_refused_where_it_differs() -> None:
    with pytest.raises(AlignmentError, match=r"differ from character 6: .*'no'.*'there'"):
        token_spans(TOKENIZER, encode(TOKENIZER, "Wait, no"), "Wait, there")


def test_id_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(AlignmentError, match="token id 99999 is not in the tokenizer"):
        token_spans(TOKENIZER, [99999])


def test_trace_spans_are_absolute_and_errors_name_the_trace() -> None:
    prompt, answer = encode(TOKENIZER, "12 + 30"), encode(TOKENIZER, "Wait, no.")
    trace = Trace("math_1", "math_1", "math", prompt + answer, len(prompt), "Wait, no.")
    ((start, end),) = trace_token_spans(TOKENIZER, trace, [(0, 4)])
    assert decode_text(TOKENIZER, trace.token_ids[start:end]) == "Wait"
    with pytest.raises(AlignmentError, match="trace math_1: "):
        trace_token_spans(TOKENIZER, replace(trace, text="Wait, yes."), [(0, 4)])
    with pytest.raises(AlignmentError, match="trace math_1: no tokens cover characters 0:50"):
        trace_token_spans(TOKENIZER, trace, [(0, 50)])


def test_special_map_keeps_length_and_reports_what_it_cannot_map() -> None:
    table = SpecialMap({5: 7, 6: None})
    assert table.apply([1, 5, 5]) == (1, 7, 7)
    assert table.problems([1, 5, 2], 8) == []
    reasons = table.problems([6, 9, 6, 5], 7)
    assert [r.split(" at")[0] for r in reasons] == ["token 6", "token 9", "token 5, mapped to 7,"]
    with pytest.raises(AlignmentError, match="token 6 at position 1 has no counterpart"):
        table.apply([1, 6])


def test_special_map_round_trip_and_broken_files(tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    SpecialMap({5: 7, 6: None}).save(file)
    assert SpecialMap.load(file) == SpecialMap({5: 7, 6: None})
    assert len(SpecialMap()) == 0
    for broken in ("[1]", '{"a": 1}', '{"1": "b"}', "{"):
        file.write_text(broken)
        with pytest.raises(FormatError, match=r"special map .*map\.json cannot be read"):
            SpecialMap.load(file)
    with pytest.raises(FormatError, match="cannot be read"):
        SpecialMap.load(tmp_path / "none.json")


def test_differing_ids_are_what_a_map_must_cover() -> None:
    other = tiny_lm().tokenizer
    assert differing_ids(other, TOKENIZER) == {}
    other.add_tokens(["<new>"])
    assert differing_ids(other, TOKENIZER) == {len(other) - 1: ("<new>", None)}


def test_tokens_that_begin_or_end_a_text_may_have_other_names() -> None:
    renamed = {"<bos>": "<|begin|>", "<eos>": "<|end|>"}
    text = TOKENIZER.backend_tokenizer.to_str()
    for old, new in renamed.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    kept = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    other = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **kept)
    assert differing_ids(other, TOKENIZER) == {}
    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text))
    assert set(differing_ids(plain, TOKENIZER).values()) == {("<|begin|>", "<bos>"), ("<|end|>", "<eos>")}
