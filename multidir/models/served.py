"""Generating through a server that speaks OpenAI's completions, such as vLLM: token ids asked for, or made and checked.

The prompt is sent as token ids, so that the server reads what the model here would read. Where the server returns the
ids that it wrote (vLLM's `return_token_ids`), these are kept; otherwise its text is tokenised here, and the ids must
spell it exactly.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from multidir.chat.failures import FORM_REFUSED, failure
from multidir.chat.key import Key
from multidir.chat.pool import in_order
from multidir.chat.request import ChatModel
from multidir.config import Calls
from multidir.errors import AlignmentError, ModelError
from multidir.models.align import decode_text
from multidir.models.generation import Generation
from multidir.models.prompting import encode
from multidir.models.sampling import Sampling

if TYPE_CHECKING:
    import openai

_EXTRAS: dict[str, Any] = {"return_token_ids": True}
"""What only some servers know; left out for those that refuse it."""


@dataclass(frozen=True)
class _Ask:
    prompt: tuple[int, ...]
    seed: int


class ServedModel:
    """A model behind a server; may be asked from many threads.

    Args:
        endpoint: name of the model at the server, and the address.
        tokenizer: the model's own, here.
        calls: how it may be called; the spend cap is not looked at, since a server of one's own bills nothing.
    """

    def __init__(self, endpoint: ChatModel, tokenizer: PreTrainedTokenizerBase, calls: Calls) -> None:
        self.endpoint, self.tokenizer, self.calls = endpoint, tokenizer, calls
        self.fingerprint = f"served:{endpoint.model}"
        self.key = Key(calls.key_variable, endpoint.base_url)
        self._extras = dict(_EXTRAS)

    def generate(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        """Continue every prompt, several at a time, in order.

        Raises:
            ModelError: the server gives no answer, or none that this model could have written.
            AlignmentError: a text whose ids were not returned, and which no ids of this tokenizer spell.
        """
        asks = [_Ask(tuple(ids), seed) for ids, seed in zip(prompts, seeds, strict=True)]
        return list(in_order(lambda ask: self._generation(ask, sampling), asks, self.calls.workers))

    def _generation(self, ask: _Ask, sampling: Sampling) -> Generation:
        choice = self._choice(ask, sampling)
        text, reason = str(choice.get("text") or ""), choice.get("finish_reason")
        if reason not in ("stop", "length"):
            raise ModelError(f"{self._who} ended a text for the reason {reason!r}; expected stop or length")
        ids = choice.get("token_ids")
        found = self._realigned(text, reason == "stop") if ids is None else self._returned(ids, text)
        return Generation((*ask.prompt, *found), len(ask.prompt), "eos" if reason == "stop" else "length")

    def _returned(self, ids: Sequence[int], text: str) -> tuple[int, ...]:
        if decode_text(self.tokenizer, ids) != text:
            raise ModelError(
                f"the token ids that {self._who} returned spell {decode_text(self.tokenizer, ids)[:60]!r}, its text is "
                f"{text[:60]!r}; it serves another model than this tokenizer's"
            )
        return tuple(ids)

    def _realigned(self, text: str, ended: bool) -> tuple[int, ...]:
        ids = encode(self.tokenizer, text)
        if decode_text(self.tokenizer, ids) != text:
            raise AlignmentError(
                f"{self._who} returned no token ids, and its text {text[:60]!r} does not survive encoding; use a "
                "server that returns ids, such as vLLM from 0.10.2 on"
            )
        end = self.tokenizer.eos_token_id
        return (*ids, end) if ended and end is not None else ids

    def _choice(self, ask: _Ask, sampling: Sampling) -> dict[str, Any]:
        import openai

        body = {
            "model": self.endpoint.model,
            "prompt": list(ask.prompt),
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature if sampling.do_sample else 0.0,
            "top_p": sampling.top_p,
            "seed": ask.seed,
        }
        for extras in (self._extras, {}):
            top_k = {"top_k": sampling.top_k} if sampling.top_k else {}
            try:
                made = self.client.completions.with_raw_response.create(**body, extra_body={**extras, **top_k})  # type: ignore[call-overload]
            except openai.APIStatusError as error:
                if extras and error.status_code in FORM_REFUSED:
                    continue
                raise self._failure(error) from None
            except openai.OpenAIError as error:
                raise self._failure(error) from None
            self._extras = extras
            return self._read(made.http_response)
        raise AssertionError("unreachable: without extras every answer returns or raises")

    def _read(self, response: Any) -> dict[str, Any]:
        try:
            choice = response.json()["choices"][0]
            return dict(choice)
        except (ValueError, KeyError, IndexError, TypeError):
            said = self.key.scrub(response.text)[:80]
            raise ModelError(
                f"{self._who} answered no completion but {said!r}; check the address, usually .../v1"
            ) from None

    def _failure(self, error: openai.OpenAIError) -> ModelError:
        return ModelError(str(failure(error, self.endpoint, self.calls, self.key)))

    @property
    def _who(self) -> str:
        return f"{self.endpoint.model} at {self.endpoint.base_url}"

    @cached_property
    def client(self) -> openai.OpenAI:
        """The client, made when it is first needed."""
        import openai

        transport = openai.DefaultHttpxClient()
        weakref.finalize(self, transport.close)
        return openai.OpenAI(
            api_key=self.key.reveal(),
            base_url=self.endpoint.base_url,
            timeout=self.calls.timeout_seconds,
            max_retries=self.calls.retries,
            http_client=transport,
        )
