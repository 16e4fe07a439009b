"""A real server on this machine that answers as an endpoint does, and chats that ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from multidir.chat.client import Chat
from multidir.chat.request import ChatModel
from multidir.config import Calls
from tests.chat.endpoint import KEY, Endpoint

MakeChat = Callable[..., Chat]


@pytest.fixture
def endpoint(httpserver: HTTPServer) -> Iterator[Endpoint]:
    """The server; what it is asked is checked against nothing, and may be read afterwards."""
    made = Endpoint(httpserver)
    yield made
    made.release.set()


@pytest.fixture
def make_chat(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeChat:
    """A chat with the endpoint; a second one with the same account is a restart."""
    monkeypatch.setenv("TEST_KEY", KEY)

    def make(account: str = "run", calls: dict[str, object] | None = None, **model: object) -> Chat:
        settings = {"retries": 2, "price": (2.0, 8.0), "key_variable": "TEST_KEY", "answers": tmp_path / "answers"}
        return Chat(ChatModel(base_url=endpoint.url, **model), Calls(**{**settings, **(calls or {})}), account)

    return make
