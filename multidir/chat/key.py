"""The key of an endpoint: read from the environment, sent to the endpoint, and shown to nobody else."""

from __future__ import annotations

import os

from multidir.chat.request import OPENAI
from multidir.errors import ConfigError

HIDDEN = "[key]"
_NO_KEY = "none"
"""Sent where no key is set: the client insists on one, servers of one's own mostly do not."""


class Key:
    """A secret that prints as the name of its variable."""

    def __init__(self, variable: str, base_url: str) -> None:
        self._variable, self._base_url = variable, base_url
        self._value = os.environ.get(variable, "").strip()

    def __repr__(self) -> str:
        return f"Key(${self._variable})"

    def reveal(self) -> str:
        """The secret, for the client alone.

        Raises:
            ConfigError: there is none and the endpoint is OpenAI's, or it cannot stand in a header.
        """
        if not self._value and self._base_url.rstrip("/") == OPENAI:
            raise ConfigError(f"no key for {self._base_url}: set the environment variable {self._variable} to it")
        if not (self._value.isascii() and self._value.isprintable()):
            raise ConfigError(f"the environment variable {self._variable} holds something that is no key; set it again")
        return self._value or _NO_KEY

    def scrub(self, text: str) -> str:
        """A text from outside without the secret, should a server have put it there."""
        return text.replace(self._value, HIDDEN) if self._value else text
