"""What a model answered: its text as it came, why it stopped, and what it cost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multidir.errors import JudgeError

_OPENS = re.compile(r"[{\[]")


@dataclass(frozen=True)
class Usage:
    """Tokens that one answer was billed for."""

    prompt: int
    """Read, those from the server's cache included."""
    cached: int
    """Read from the server's cache, which is cheaper."""
    completion: int
    """Written."""


@dataclass(frozen=True)
class Reply:
    """One answer."""

    text: str
    """As the model wrote it."""
    finish_reason: str
    """`stop` when the model ended by itself, `length` when it was cut off, `content_filter`."""
    refusal: str | None
    """The model's words when it declined."""
    model: str
    """Which model answered, as the server names it: often a dated version of the one that was asked."""
    form: str
    """How the answer was asked for."""
    usage: Usage | None
    """None when the server does not say."""

    @property
    def problem(self) -> str | None:
        """Why there is no whole answer to read; None when there is one."""
        if self.refusal or self.finish_reason == "content_filter":
            return "refused"
        return "truncated" if self.finish_reason == "length" else None


def read_completion(content: Any, form: str) -> Reply:
    """The reply in the JSON of a chat completion, whether it came alone or as a line of a batch.

    Raises:
        JudgeError: it is no chat completion.
    """
    try:
        choice = content["choices"][0]
        message = choice["message"]
        return Reply(
            text=message.get("content") or "",
            finish_reason=str(choice.get("finish_reason")),
            refusal=message.get("refusal"),
            model=str(content.get("model", "")),
            form=form,
            usage=_usage(content.get("usage")),
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise JudgeError(
            f"the endpoint answered something that is no chat completion ({type(error).__name__}: {error}); "
            "check --base-url, which usually ends in /v1"
        ) from None


def read_json(text: str) -> Any:
    """The JSON value in an answer: the whole of it, or the longest object or list in the prose around it.

    Raises:
        ValueError: there is none.
    """
    decoder = json.JSONDecoder()
    found: list[tuple[int, Any]] = []
    start = 0
    while match := _OPENS.search(text, start):
        try:
            value, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            start = match.end()
        else:
            found.append((end - match.start(), value))
            start = end
    if not found:
        raise ValueError("no JSON in it")
    return max(found, key=lambda pair: pair[0])[1]


def _usage(content: Mapping[str, Any] | None) -> Usage | None:
    if content is None:
        return None
    cached = (content.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Usage(int(content["prompt_tokens"]), int(cached), int(content["completion_tokens"]))
