"""A small endpoint: chat completions, files and batch jobs, with mishaps to order."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

KEY = "sk-test-5up3r-s3cr3t-k3y"

Body = Mapping[str, Any]


def completion(text: str, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion as JSON: 100 tokens read, 40 of them from the cache, 10 written."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "total_tokens": 110,
            "prompt_tokens_details": {"cached_tokens": 40},
        },
    }


def refuse(status: int, message: str = "no", **headers: str) -> Response:
    """An error as JSON; retries need not wait."""
    text = json.dumps({"error": {"message": message, "type": "error", "code": None, "param": None}})
    return Response(text, status, {"retry-after-ms": "1", **headers}, content_type="application/json")


class Endpoint:
    """Answers every question by `answer`, after the mishaps that stand in `next` are used up."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self.url = server.url_for("/v1")
        self.bodies: list[dict[str, Any]] = []
        """What was asked, in order."""
        self.headers: list[dict[str, str]] = []
        self.next: deque[Callable[[Body], Any]] = deque()
        self.answer: Callable[[Body], Any] = lambda body: completion('{"labels": []}')
        self.release = threading.Event()
        """Ends calls that hang."""
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        server.expect_request("/v1/chat/completions").respond_with_handler(self._chat)

    def hang(self, _: Body) -> Any:
        """Answer nothing until the test ends."""
        self.release.wait(20)
        return completion("too late")

    def _chat(self, request: Request) -> Response:
        body = request.get_json()
        with self._lock:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            mishap = self.next.popleft() if self.next else None
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        found = (mishap or self.answer)(body)
        with self._lock:
            self._at_once -= 1
        return found if isinstance(found, Response) else Response(json.dumps(found), content_type="application/json")
