"""Batch jobs against a real server: half price, resumed, expired ones used as far as they got."""

from __future__ import annotations

import pytest

from multidir.chat.batch import Question, answer_in_batches
from multidir.chat.client import Chat
from multidir.chat.request import Request
from multidir.errors import JudgeError
from tests.chat.conftest import MakeChat
from tests.chat.endpoint import KEY, Endpoint, completion
from tests.chat.jobs import Jobs

FAST = {"poll_seconds": 0.0}


@pytest.fixture
def jobs(endpoint: Endpoint) -> Jobs:
    return Jobs(endpoint.server, lambda body: completion(body["messages"][0]["content"].upper()))


def questions(chat: Chat, n: int = 6) -> list[Question]:
    requests = [Request(chat.chat, (("user", f"question {i}"),), {}, 50) for i in range(n)]
    return [(request, lambda reply: reply.problem is None) for request in requests]


def test_every_question_gets_its_own_answer_at_half_the_price(endpoint: Endpoint, jobs: Jobs, make_chat) -> None:
    chat = make_chat(calls=FAST)
    answer_in_batches(chat, questions(chat))
    replies = [chat.ask(*question) for question in questions(chat)]
    assert [reply.text for reply in replies] == [f"QUESTION {i}" for i in range(6)]  # the job gave them backwards
    assert endpoint.bodies == []
    assert chat.ledger.known == pytest.approx(6 * 0.5 * (100 * 2.0 + 10 * 8.0) / 1e6)
    (lines,) = jobs.asked()
    assert [line["custom_id"] for line in lines] == [request.key for request, _ in questions(chat)]
    assert lines[0]["body"]["response_format"]["type"] == "json_schema"


def test_a_restart_sends_nothing_again(jobs: Jobs, make_chat: MakeChat) -> None:
    for _ in range(2):
        chat = make_chat(calls=FAST)
        answer_in_batches(chat, questions(chat))
    assert len(jobs.jobs) == 1
    assert chat.ledger.calls == 6


@pytest.mark.parametrize("moment", ["retrieve", "create", "content"])
def test_interrupted_while_waiting_it_takes_up_the_same_job(
    jobs: Jobs, make_chat: MakeChat, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """`create`: the job was made, and we were killed before we heard of it."""
    chat = make_chat(calls=FAST)
    owner = chat.client.files if moment == "content" else chat.client.batches
    real = getattr(owner, moment)

    def killed(*arguments: object, **named: object) -> None:
        if moment == "create":
            real(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, moment, killed)
    with pytest.raises(KeyboardInterrupt):
        answer_in_batches(chat, questions(chat))
    again = make_chat(calls=FAST)
    answer_in_batches(again, questions(again))
    assert len(jobs.jobs) == 1
    assert all(again.cache.get(request.key) for request, _ in questions(again))
    assert again.ledger.calls == 6


def test_killed_between_keeping_and_forgetting_it_pays_once(
    jobs: Jobs, make_chat: MakeChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = make_chat(calls=FAST)
    kept = []

    def killed(key: str, reply: object) -> None:
        kept.append(key)
        if len(kept) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(chat.cache, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        answer_in_batches(chat, questions(chat))
    again = make_chat(calls=FAST)
    answer_in_batches(again, questions(again))
    assert (len(jobs.jobs), again.ledger.calls) == (1, 6)
    assert again.ledger.known == pytest.approx(6 * 0.5 * 280 / 1e6)


def test_what_an_expired_job_finished_is_used_and_the_rest_sent_again(jobs: Jobs, make_chat: MakeChat) -> None:
    jobs.finished.extend([0.5, 0.67])
    chat = make_chat(calls=FAST)
    answer_in_batches(chat, questions(chat))
    assert [len(lines) for lines in jobs.asked()] == [6, 3, 1]
    assert chat.ledger.calls == 6


@pytest.mark.parametrize("end", ["expired", "completed"])
def test_a_job_that_brings_nothing_is_an_error_not_a_loop(jobs: Jobs, make_chat: MakeChat, end: str) -> None:
    jobs.finished.append(0.0)
    jobs.ends.append(end)
    chat = make_chat(calls=FAST)
    with pytest.raises(JudgeError, match=f"batch0 is {end} and answered 0 of 6 questions; start again"):
        answer_in_batches(chat, questions(chat))
    answer_in_batches(chat, questions(chat))
    assert len(jobs.jobs) == 2


def test_of_a_cancelled_job_the_answers_are_kept(jobs: Jobs, make_chat: MakeChat) -> None:
    jobs.finished.append(0.5)
    jobs.ends.append("cancelled")
    chat = make_chat(calls=FAST)
    with pytest.raises(JudgeError, match="cancelled and answered 3 of 6"):
        answer_in_batches(chat, questions(chat))
    assert sum(chat.cache.get(request.key) is not None for request, _ in questions(chat)) == 3


def test_a_refused_job_says_why_without_the_key(jobs: Jobs, make_chat: MakeChat, monkeypatch) -> None:
    jobs.ends.append("failed")
    end = jobs._end

    def with_reason(job):
        end(job)
        job["errors"] = {"object": "list", "data": [{"code": "x", "message": f"bad line, {KEY}"}]}

    monkeypatch.setattr(jobs, "_end", with_reason)
    chat = make_chat(calls=FAST)
    with pytest.raises(JudgeError, match=r"batch0 was refused: bad line, \[key\]"):
        answer_in_batches(chat, questions(chat))
    answer_in_batches(chat, questions(chat))  # and is not waited for again
    assert chat.ledger.calls == 6


def test_what_a_job_gets_wrong_is_left_for_a_single_call(endpoint: Endpoint, jobs: Jobs, make_chat: MakeChat) -> None:
    jobs.answer = lambda body: completion("cut", finish="length" if "3" in str(body["messages"]) else "stop")
    chat = make_chat(calls=FAST)
    answer_in_batches(chat, questions(chat))
    assert len(jobs.jobs) == 1
    for question in questions(chat):
        chat.ask(*question)
    assert len(endpoint.bodies) == 1
    assert chat.ledger.calls == 7


@pytest.mark.parametrize("body", [None, {"choices": []}])
def test_a_line_that_is_no_completion_spoils_only_itself(jobs: Jobs, make_chat: MakeChat, body: object) -> None:
    jobs.answer = lambda asked: body if "3" in str(asked["messages"]) else completion("yes")
    chat = make_chat(calls=FAST)
    answer_in_batches(chat, questions(chat))
    assert [chat.cache.get(request.key) is None for request, _ in questions(chat)] == [i == 3 for i in range(6)]


def test_a_cap_too_small_for_one_job_makes_several(jobs: Jobs, make_chat: MakeChat) -> None:
    worst = make_chat().price.worst(questions(make_chat())[0][0]) / 2
    chat = make_chat(calls={**FAST, "max_usd": 2.5 * worst + 6 * 140e-6})
    answer_in_batches(chat, questions(chat))
    assert len(jobs.jobs) > 1
    assert chat.ledger.calls == 6
    assert chat.ledger.known <= chat.ledger.cap


def test_a_cap_too_small_for_one_question_sends_none(jobs: Jobs, make_chat: MakeChat) -> None:
    worst = make_chat().price.worst(questions(make_chat())[0][0]) / 2
    chat = make_chat(calls={**FAST, "max_usd": 0.99 * worst})
    with pytest.raises(JudgeError, match="stopped before the spend cap"):
        answer_in_batches(chat, questions(chat))
    assert jobs.files == {}
