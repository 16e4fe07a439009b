"""What a call costs: afterwards from the tokens billed, and beforehand as the most it can be."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass

from multidir import resources
from multidir.chat.reply import Usage
from multidir.chat.request import OPENAI, ChatModel, Request
from multidir.errors import ConfigError

_MILLION = 1e6
_OVERHEAD = 512
"""Tokens that a server may add to a request: role marks, the frame of a schema, a system prompt of its own."""


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    read: float
    cached: float
    written: float

    def times(self, factor: float) -> Price:
        """The same with a discount."""
        return Price(self.read * factor, self.cached * factor, self.written * factor)

    def of(self, usage: Usage) -> float:
        """US dollars for the tokens billed."""
        fresh = usage.prompt - usage.cached
        return (fresh * self.read + usage.cached * self.cached + usage.completion * self.written) / _MILLION

    def worst(self, request: Request) -> float:
        """The most that one try can cost.

        No tokenizer is needed: a token is at least one byte of text, and the answer has its limit.
        """
        schema = len(json.dumps(request.schema).encode())
        size = sum(len(text.encode()) for _, text in request.messages) + schema + _OVERHEAD
        return (size * self.read + request.max_tokens * self.written) / _MILLION


def price_of(chat: ChatModel, given: tuple[float, float] | None) -> Price:
    """The price of a model: as given, or from the shipped table.

    Args:
        chat: the model; a dated version has the price of its family.
        given: dollars per million tokens read and written; tokens from the server's cache count as read.
    Raises:
        ConfigError: not given and not in the table, so that no cap could hold.
    """
    if given is not None:
        return Price(given[0], given[0], given[1])
    table = tomllib.loads(resources.path("prices.toml").read_text(encoding="utf-8"))["models"]
    family = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", chat.model)
    if family not in table or chat.base_url.rstrip("/") != OPENAI:
        raise ConfigError(
            f"no price of {chat.model} at {chat.base_url}, so no spend cap could hold; give --price READ WRITTEN in US "
            f"dollars per million tokens (0 0 for a server of your own). Known at {OPENAI}: {', '.join(table)}"
        )
    return Price(*map(float, table[family]))


def batch_discount() -> float:
    """What a batch job costs, as a share of the ordinary price."""
    table = tomllib.loads(resources.path("prices.toml").read_text(encoding="utf-8"))
    return float(table["batch_discount"])
