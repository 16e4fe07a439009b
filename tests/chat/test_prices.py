from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.chat.prices import Price, batch_discount, price_of
from multidir.chat.reply import Usage, read_json
from multidir.chat.request import ChatModel, Request
from multidir.errors import ConfigError


def test_prices_of_known_models_and_their_dated_versions() -> None:
    assert price_of(ChatModel(), None) == Price(2.5, 1.25, 10.0)
    assert price_of(ChatModel(model="gpt-4o-2024-08-06"), None) == price_of(ChatModel(), None)
    assert price_of(ChatModel(model="gpt-4o-mini"), None).read == 0.15
    assert price_of(ChatModel(), (1.0, 2.0)) == Price(1.0, 1.0, 2.0)
    assert batch_discount() == 0.5


@pytest.mark.parametrize("chat", [ChatModel(model="mine"), ChatModel(base_url="http://localhost:1/v1")])
def test_without_a_price_no_cap_could_hold(chat: ChatModel) -> None:
    with pytest.raises(ConfigError, match="no spend cap could hold; give --price"):
        price_of(chat, None)


def test_tokens_from_the_cache_are_cheaper() -> None:
    assert Price(2.5, 1.25, 10.0).of(Usage(1_000_000, 400_000, 100_000)) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 1.0)
    assert Price(2.5, 1.25, 10.0).times(0.5).of(Usage(1_000_000, 0, 0)) == 1.25


@given(st.text(max_size=200), st.integers(1, 100))
def test_the_worst_case_is_above_one_token_per_byte(text: str, limit: int) -> None:
    text = text.encode(errors="ignore").decode()
    request = Request(ChatModel(), (("user", text),), {}, limit)
    assert Price(1e6, 1e6, 1e6).worst(request) >= len(text.encode()) + limit


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here [1] it is:\n```json\n{"a": [1, 2]}\n```\nDone {x}.', {"a": [1, 2]}),
        ("[1, 2]", [1, 2]),
        ('} {"a": "}"}', {"a": "}"}),
    ],
)
def test_json_is_found_in_prose(text: str, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize("text", ["", "none here", "{ not json", '{"a": 1'])
def test_no_json_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        read_json(text)
