"""Asking a real server: answers are kept, failures are not, errors are sentences, and the cap holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from multidir.chat.client import Chat
from multidir.chat.reply import Reply, Usage, read_completion
from multidir.chat.request import OPENAI, ChatModel, Request
from multidir.errors import ConfigError, JudgeError
from tests.chat.conftest import MakeChat
from tests.chat.endpoint import KEY, Endpoint, completion, refuse

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}


def request(chat: Chat, text: str = "Hello?") -> Request:
    return Request(chat.chat, (("system", "Count."), ("user", text)), SCHEMA, 50)


def whole(reply: Reply) -> bool:
    return reply.problem is None


def test_an_answer_with_everything_about_it(endpoint: Endpoint, make_chat: MakeChat) -> None:
    endpoint.answer = lambda body: completion('{"x": 1}')
    reply = make_chat().ask(request(make_chat()), whole)
    assert reply == Reply('{"x": 1}', "stop", None, "gpt-4o-2024-08-06", "json_schema", Usage(100, 40, 10))
    (body,) = endpoint.bodies
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (body["model"], body["temperature"], body["seed"], body["max_tokens"]) == ("gpt-4o", 0.0, 0, 50)
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_the_same_question_is_asked_once_even_after_a_restart(endpoint: Endpoint, make_chat: MakeChat) -> None:
    first = make_chat().ask(request(make_chat()), whole)
    again = make_chat("another run").ask(request(make_chat()), whole)
    assert first == again
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"temperature": 1.0}, {"model_seed": 1}, {"answer_form": "json_object"}]
)
def test_another_question_is_asked_again(endpoint: Endpoint, make_chat: MakeChat, change: dict[str, object]) -> None:
    for chat in (make_chat(), make_chat(**change)):
        chat.ask(request(chat), whole)
    assert len(endpoint.bodies) == 2


def test_the_key_of_a_question_is_its_content() -> None:
    plain = ChatModel()
    one = Request(plain, (("user", "a"),), SCHEMA, 50)
    assert one.key == Request(ChatModel(base_url=OPENAI + "/"), (("user", "a"),), dict(SCHEMA), 50).key
    others = [
        Request(plain, (("user", "b"),), SCHEMA, 50),
        Request(plain, (("system", "a"),), SCHEMA, 50),
        Request(plain, (("user", "a"),), {**SCHEMA, "title": "x"}, 50),
        Request(plain, (("user", "a"),), SCHEMA, 51),
        Request(ChatModel(base_url="http://localhost/v1"), (("user", "a"),), SCHEMA, 50),
    ]
    assert len({one.key, *(other.key for other in others)}) == 6


def test_a_failure_is_not_kept(endpoint: Endpoint, make_chat: MakeChat) -> None:
    endpoint.next.append(lambda body: completion('{"x": ', finish="length"))
    chat = make_chat()
    assert chat.ask(request(chat), whole).problem == "truncated"
    assert chat.ask(request(chat), whole).problem is None
    assert len(endpoint.bodies) == 2
    assert chat.ledger.calls == 2  # both were billed


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_troubles_are_tried_again(endpoint: Endpoint, make_chat: MakeChat, status: int) -> None:
    endpoint.next.extend([lambda body: refuse(status)] * 2)
    chat = make_chat()
    assert chat.ask(request(chat), whole).text
    assert len(endpoint.bodies) == 3
    assert (chat.ledger.calls, chat.ledger.unseen) == (1, 0.0)


@pytest.mark.parametrize(
    ("status", "said", "sentence"),
    [
        (429, "slow down", "still limits the rate after 3 tries: .*slow down.*lower --workers"),
        (401, f"Incorrect API key provided: {KEY}", r"refuses the key in TEST_KEY: .*\[key\]"),
        (500, "broken", "refuses the call: .*broken"),
        (404, "no such model", "refuses the call: .*no such model"),
    ],
)
def test_lasting_troubles_are_sentences_without_the_key(
    endpoint: Endpoint, make_chat: MakeChat, status: int, said: str, sentence: str
) -> None:
    endpoint.answer = lambda body: refuse(status, said)
    chat = make_chat()
    with pytest.raises(JudgeError, match=sentence) as caught:
        chat.ask(request(chat), whole)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert (chat.ledger.calls, chat.ledger.room) == (0, chat.ledger.cap)


def test_a_server_that_hangs_may_have_billed(endpoint: Endpoint, make_chat: MakeChat) -> None:
    endpoint.answer = endpoint.hang
    chat = make_chat(calls={"retries": 0, "timeout_seconds": 0.2})
    with pytest.raises(JudgeError, match=r"no answer within 0\.2 s in 1 tries; raise --timeout-seconds"):
        chat.ask(request(chat), whole)
    assert chat.ledger.unseen == pytest.approx(chat.price.worst(request(chat)))
    assert chat.ledger.known == 0
    assert "perhaps" in str(chat.ledger)


def test_a_server_that_is_not_there(make_chat: MakeChat) -> None:
    chat = Chat(ChatModel(base_url="http://127.0.0.1:9/v1"), make_chat(calls={"retries": 0}).calls, "run")
    with pytest.raises(JudgeError, match="cannot be reached in 1 tries"):
        chat.ask(request(chat), whole)


@pytest.mark.parametrize("answer", [{"hello": "world"}, {"choices": []}, [1]])
def test_an_endpoint_that_is_another_thing(endpoint: Endpoint, make_chat: MakeChat, answer: object) -> None:
    endpoint.answer = lambda body: answer
    chat = make_chat()
    with pytest.raises(JudgeError, match="no chat completion"):
        chat.ask(request(chat), whole)


def test_forms_are_tried_from_the_strictest_on_and_remembered(endpoint: Endpoint, make_chat: MakeChat) -> None:
    def text_only(body):
        return refuse(400, "response_format is unknown") if "response_format" in body else completion("{}")

    endpoint.answer = text_only
    chat = make_chat()
    assert chat.ask(request(chat), whole).form == "text"
    assert chat.ask(request(chat, "And now?"), whole).form == "text"
    forms = [body.get("response_format", {}).get("type") for body in endpoint.bodies]
    assert forms == ["json_schema", "json_object", None, None]


def test_a_form_that_is_asked_for_is_not_replaced(endpoint: Endpoint, make_chat: MakeChat) -> None:
    endpoint.answer = lambda body: refuse(400, "no such form")
    chat = make_chat(answer_form="json_object")
    with pytest.raises(JudgeError, match="no such form"):
        chat.ask(request(chat), whole)
    assert len(endpoint.bodies) == 1


def test_money_is_counted_as_billed(make_chat: MakeChat) -> None:
    chat = make_chat()
    chat.ask(request(chat), whole)
    assert chat.ledger.known == pytest.approx((100 * 2.0 + 10 * 8.0) / 1e6)
    assert make_chat().ledger.known == chat.ledger.known  # a restart goes on with the same account
    assert make_chat("another run").ledger.known == 0


def test_the_cap_stops_before_it_is_crossed(endpoint: Endpoint, make_chat: MakeChat) -> None:
    one_call = make_chat().price.worst(request(make_chat()))
    cap = 2.5 * one_call  # the endpoint bills 0.23 of the worst case
    chat = make_chat(calls={"max_usd": cap, "retries": 0})
    with pytest.raises(JudgeError, match=r"stopped before the spend cap: .*raise --max-usd"):
        [chat.ask(request(chat, f"Hello {i}?"), whole) for i in range(50)]
    assert len(endpoint.bodies) > 3
    assert cap - one_call < chat.ledger.known <= cap


def test_no_call_is_made_that_could_cross_the_cap(endpoint: Endpoint, make_chat: MakeChat) -> None:
    worst = make_chat().price.worst(request(make_chat()))
    chat = make_chat(calls={"max_usd": 2.99 * worst, "retries": 2})
    with pytest.raises(JudgeError, match="stopped before"):
        chat.ask(request(chat), whole)
    assert endpoint.bodies == []


def test_calls_at_the_same_time_wait_for_room_instead_of_stopping(endpoint: Endpoint, make_chat: MakeChat) -> None:
    worst = make_chat().price.worst(request(make_chat()))
    chat = make_chat(calls={"max_usd": 4 * worst, "retries": 0})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: chat.ask(request(chat, f"Hello {i}?"), whole), range(8)))
    assert len(endpoint.bodies) == 8
    assert endpoint.most_at_once <= 4
    assert chat.ledger.known <= chat.ledger.cap


def test_an_answer_without_usage_counts_as_the_most_it_can_cost(endpoint: Endpoint, make_chat: MakeChat) -> None:
    endpoint.answer = lambda body: {k: v for k, v in completion("{}").items() if k != "usage"}
    chat = make_chat()
    assert chat.ask(request(chat), whole).usage is None
    assert chat.ledger.unseen == pytest.approx(chat.price.worst(request(chat)))


def test_no_key_no_call(make_chat: MakeChat, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = make_chat().calls
    monkeypatch.delenv("TEST_KEY")
    chat = Chat(ChatModel(), calls, "run")
    with pytest.raises(ConfigError, match="set the environment variable TEST_KEY"):
        chat.ask(request(chat), whole)
    monkeypatch.setenv("TEST_KEY", "sk-a\x01b")
    chat = Chat(ChatModel(), calls, "run")
    with pytest.raises(ConfigError, match="no key; set it again"):
        chat.ask(request(chat), whole)


def test_a_server_of_ones_own_needs_none(
    endpoint: Endpoint, make_chat: MakeChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_KEY")
    chat = make_chat()
    assert chat.ask(request(chat), whole)
    assert endpoint.headers[0]["Authorization"] == "Bearer none"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://user:pass@host/v1", "carries a user name"),
        ("https://host/v1?api-key=abc", "carries a user name"),
        ("host/v1", "is no address"),
    ],
)
def test_addresses_that_would_be_saved_with_a_secret(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ChatModel(base_url=address)
    assert "pass" not in str(caught.value).replace("password", "")
    assert "abc" not in str(caught.value)


def test_the_kept_answers_of_a_newer_or_another_program_are_refused(make_chat: MakeChat, tmp_path: Path) -> None:
    chat = make_chat()
    chat.database.write("PRAGMA user_version = 2", [()])
    with pytest.raises(ValueError, match="version 2, this multidir reads 1"):
        make_chat()
    chat.database.file.write_bytes(b"hello " * 1000)
    with pytest.raises(ValueError, match="no database of answers"):
        make_chat()


def test_a_reply_from_a_filter() -> None:
    reply = read_completion(completion("", finish="content_filter"), "text")
    assert reply.problem == "refused"
    assert read_completion(completion("", refusal="I will not."), "text").problem == "refused"
    assert read_completion(completion(None), "text").text == ""  # type: ignore[arg-type]
