"""One question to a model behind an API, as data: everything that decides the answer, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlsplit

from multidir.errors import ConfigError
from multidir.store.atomic import sha256_json

OPENAI = "https://api.openai.com/v1"

Form = Literal["json_schema", "json_object", "text"]
"""How an answer is asked for: JSON that the server holds to a schema, any JSON, or text that should be JSON."""

FORMS: tuple[Form, ...] = ("json_schema", "json_object", "text")
"""From the strictest to what every server understands."""


@dataclass(frozen=True)
class ChatModel:
    """A model behind an API that speaks OpenAI's chat completions, and how it answers."""

    model: str = "gpt-4o"
    """Name at the endpoint."""
    base_url: str = OPENAI
    """The endpoint, with its version: `http://localhost:8000/v1` for a server of your own."""
    temperature: float | None = 0.0
    """None leaves it out, for models that refuse it."""
    model_seed: int | None = 0
    """Sent with every request; the same seed makes the same answer likely, not certain. None leaves it out."""
    answer_form: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    """How JSON is asked for; `auto`: the strictest form that the endpoint accepts. Answers are checked here anyway."""

    def __post_init__(self) -> None:
        """Refuse an address that is none, or that carries a secret into every file that names it."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"--base-url {self._shown!r} is no address; give one such as {OPENAI}")
        if parts.username or parts.password or parts.query:
            raise ConfigError(
                f"--base-url {self._shown!r} carries a user name, password or query, which would be saved with every "
                "result; put the key into the environment variable instead"
            )
        if not self.model:
            raise ConfigError("--model is empty; give the name of a model at the endpoint")

    @property
    def _shown(self) -> str:
        """The address without what might be secret in it."""
        return f"{urlsplit(self.base_url).scheme}://{urlsplit(self.base_url).hostname or ''}"

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms to try, in order."""
        return FORMS if self.answer_form == "auto" else (self.answer_form,)


@dataclass(frozen=True)
class Request:
    """What is asked. Two requests with one key are the same question to the same model."""

    chat: ChatModel
    messages: tuple[tuple[str, str], ...]
    """(role, text); what is the same in all requests comes first, so that the server can reuse its work on it."""
    schema: Mapping[str, Any]
    """JSON schema of the answer, in the strict subset that OpenAI accepts."""
    max_tokens: int
    """Longest answer, in tokens."""

    @cached_property
    def key(self) -> str:
        """Sha256 of the endpoint, the model, the messages, the schema, the parameters and the seed."""
        parameters = {
            "temperature": self.chat.temperature,
            "max_tokens": self.max_tokens,
            "answer_form": self.chat.answer_form,
        }
        return sha256_json(
            {
                "endpoint": self.chat.base_url.rstrip("/"),
                "model": self.chat.model,
                "messages": self.messages,
                "schema": self.schema,
                "parameters": parameters,
                "seed": self.chat.model_seed,
            }
        )

    def body(self, form: Form) -> dict[str, Any]:
        """JSON body of the call."""
        # OpenAI's newer models refuse `max_tokens`; many other servers know nothing else.
        limit = "max_completion_tokens" if self.chat.base_url.rstrip("/") == OPENAI else "max_tokens"
        body: dict[str, Any] = {
            "model": self.chat.model,
            "messages": [{"role": role, "content": text} for role, text in self.messages],
            limit: self.max_tokens,
        }
        if self.chat.temperature is not None:
            body["temperature"] = self.chat.temperature
        if self.chat.model_seed is not None:
            body["seed"] = self.chat.model_seed
        if form == "json_schema":
            body["response_format"] = {
                "type": form,
                "json_schema": {"name": "answer", "strict": True, "schema": dict(self.schema)},
            }
        elif form == "json_object":
            body["response_format"] = {"type": form}
        return body
