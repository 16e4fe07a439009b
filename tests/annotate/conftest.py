"""The test endpoint, acting as a judge that labels by one word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from multidir.annotate.judge import Judge, ModelJudge
from multidir.chat.client import Chat
from tests.chat.conftest import MakeChat, endpoint, make_chat
from tests.chat.endpoint import Body, Endpoint, completion

__all__ = ["endpoint", "make_chat"]

MakeJudge = Callable[..., ModelJudge]


def asked(body: Body) -> dict[int, str]:
    """The numbered sentences in a request."""
    return {int(n): text for n, text in re.findall(r"^\[(\d+)\] (.*)$", body["messages"][1]["content"], re.M)}


def labelled(body: Body) -> dict[int, str]:
    """What the test judge says: a sentence with "no" in it turns back."""
    return {n: "backtracking" if "no" in text.lower() else "deduction" for n, text in asked(body).items()}


def answer(labels: dict[int, str], **how: Any) -> dict[str, Any]:
    """Labels as a completion."""
    return completion(json.dumps({"labels": [{"id": n, "label": label} for n, label in labels.items()]}), **how)


@pytest.fixture
def make_judge(endpoint: Endpoint, make_chat: MakeChat) -> MakeJudge:
    """A judge at the endpoint."""
    endpoint.answer = lambda body: answer(labelled(body))

    def make(calls: dict[str, object] | None = None, **settings: object) -> ModelJudge:
        judge = Judge(base_url=endpoint.url, **settings)
        return ModelJudge(judge, Chat(judge, make_chat(calls=calls).calls, "run"))

    return make
