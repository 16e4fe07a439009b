"""Which positions a scope covers, by arithmetic and by what tokens write."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multidir.annotate.segment import split_sentences
from multidir.errors import ConfigError, ModelError
from multidir.models.align import decode_text, token_spans
from multidir.records.scope import Scope
from multidir.steer.scope import END, met, window
from multidir.steer.token_text import TokenText, token_text
from tests.models.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
TEXT = TokenText(TOKENIZER)
TRACE = """Okay, so I need 3.14 times 2. Let me see... Wait, e.g. Dr. Smith said "Go on." Hmm?
1. First, take f(x) = 0.5.
2. Then add 7! That is 12.

So **that** is it. No! Maybe 12, or `x`.
Go back"""


def ids(text: str) -> list[int]:
    return [int(token) for token in TOKENIZER.encode(text)]


def covered(scope: Scope, tokens: list[int], n_prompt: int) -> list[int]:
    """Positions of a sequence that meet the conditions on its tokens."""
    places = torch.arange(len(tokens))[None]
    return met(scope, places, torch.tensor([tokens]), [n_prompt], TEXT)[0].nonzero().squeeze(1).tolist()


def test_windows() -> None:
    assert window(Scope("all"), 5) == (0, END)
    assert window(Scope("prompt"), 5) == (0, 5)
    assert window(Scope("generated"), 5) == (4, END), "the last prompt position makes the first new token"
    assert window(Scope("decoded"), 5) == (5, END)
    assert window(Scope("prompt", 2, 9), 5) == (2, 5)
    assert window(Scope("generated", 2, 9), 5) == (4, 9)


@pytest.mark.parametrize("scope", [Scope("prompt", 5), Scope("generated", 0, 4), Scope("decoded", 3, 5)], ids=str)
def test_a_window_outside_of_its_part_selects_nothing_and_is_refused(scope: Scope) -> None:
    with pytest.raises(ConfigError, match=r"scope .* selects nothing after a prompt of 5 tokens; change its window"):
        window(scope, 5)


def test_from_a_token_on() -> None:
    tokens = [0, 7, 9, 5, 7, 5]
    assert covered(Scope(from_token=7), tokens, 3) == [1, 2, 3, 4, 5], "itself included"
    assert covered(Scope("generated", from_token=7), tokens, 3) == [4, 5], "the first one of the part"
    assert covered(Scope("prompt", from_token=5), tokens, 3) == []
    assert covered(Scope(from_token=8), tokens, 3) == []
    assert covered(Scope("all", 3, 5, from_token=7), tokens, 3) == [4, 5], "the end of the window is the caller's"


def test_from_a_text_on_however_it_is_tokenised() -> None:
    tokens = ids("Wait, no. Go back to 12, no.")
    spans = token_spans(TOKENIZER, tokens)
    end = decode_text(TOKENIZER, tokens).index("no") + 2
    first = next(i for i, (_, stop) in enumerate(spans) if stop >= end)
    assert spans[first][1] - spans[first - 1][0] > len("o"), "several tokens"
    assert covered(Scope(from_text="no"), tokens, 3) == list(range(first, len(tokens)))
    assert covered(Scope("decoded", from_text="no"), tokens, first + 1)[0] > first, "the next one"
    assert covered(Scope(from_text="yes"), tokens, 3) == []
    assert covered(Scope(from_text="caf\u00e9"), ids("a caf\u00e9 is"), 1)[-1] == len(ids("a caf\u00e9 is")) - 1


@given(st.lists(st.sampled_from("ab. !cd"), max_size=12), st.sampled_from(["ab", "a", ". ", "cd!"]), st.integers(1, 9))
def test_a_text_is_complete_at_the_token_that_ends_it(letters: list[str], wanted: str, first: int) -> None:
    tokens = [0] * 3 + [token for letter in letters for token in TOKENIZER.encode(letter, add_special_tokens=False)]
    text = "\n\n\n" + "".join(letters)
    hits = [i for i in range(len(text)) if text[: i + 1].endswith(wanted) and i >= first]
    assert TEXT.completes(tokens, wanted, min(first, len(tokens))) == (hits[0] if hits else None)


def test_sentences_begin_where_the_annotator_says() -> None:
    """Judged from what is before alone, it could only differ where what follows decides whether it is a sentence."""
    tokens = ids(TRACE)
    spans = token_spans(TOKENIZER, tokens)
    starts = [start for start, _ in split_sentences(decode_text(TOKENIZER, tokens))]
    assert len(starts) == 11
    expected = [next(i for i, (_, end) in enumerate(spans) if end > start) for start in starts]
    assert covered(Scope(sentence="start"), tokens, 1) == expected
    assert {i - 1 for i in expected} <= set(covered(Scope(sentence="end"), tokens, 1))


def test_sentence_starts_and_the_positions_that_make_them() -> None:
    tokens = ids("Pi is 3.14, e.g. here. Wait! No\n\nHmm.")
    names = [TOKENIZER.decode([token]) for token in tokens]
    starts = covered(Scope(sentence="start"), tokens, 1)
    assert [names[i] for i in starts] == ["P", " W", " N", "Hmm"] or [names[i].strip()[:1] for i in starts] == list(
        "PWNH"
    )
    ends = covered(Scope(sentence="end"), tokens, 1)
    assert {i - 1 for i in starts} <= set(ends), "what makes the first token of a sentence"
    assert set(ends) - {i - 1 for i in starts} <= {i for i, name in enumerate(names) if name in (".", "\n", "!")}


def test_a_special_token_separates_and_code_is_one_sentence() -> None:
    tokens = [0, 3, *ids("Why")[1:], 4, *ids("Because")[1:]]
    starts = covered(Scope(sentence="start"), tokens, 1)
    assert starts == [2, tokens.index(4) + 1]
    assert len(covered(Scope(sentence="start"), ids("So ```a. B. C``` it is. D"), 1)) == 3, "So, it, D"


def test_a_trigger_is_a_single_token() -> None:
    assert TEXT.token_id("Wait") == 318
    assert TEXT.token_id("</think>") == TOKENIZER.convert_tokens_to_ids("</think>")
    assert TEXT.token_id(9999) == 9999
    with pytest.raises(
        ConfigError, match=r"' no' is 2 tokens here \(' n' 'o'\); give a token id, or a scope that begins"
    ):
        TEXT.token_id(" no")


def test_tokens_that_are_not_known_are_an_error() -> None:
    places, unknown = torch.tensor([[4, 5]]), torch.tensor([[-1, -1, -1, -1, 5, 6]])
    with pytest.raises(ModelError, match="depends on the tokens so far, of which some were run before"):
        met(Scope(from_token=5), places, unknown, [2], TEXT)
    ended = torch.tensor([[0, -1]])
    assert met(Scope(from_token=5), ended, torch.tensor([[5, 6]]), [1], TEXT).tolist() == [[True, False]]
    padded = torch.tensor([[-1, -1, 5, 6]])
    assert met(Scope(from_token=6), torch.tensor([[0, 1]]), padded, [1], TEXT).tolist() == [[False, True]]


def test_a_vocabulary_is_read_once() -> None:
    assert token_text(TOKENIZER) is token_text(TOKENIZER)
    assert token_text(tiny_tokenizer()) is not token_text(TOKENIZER)
