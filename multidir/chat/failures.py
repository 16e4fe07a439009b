"""What went wrong with a call, as a sentence without a secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multidir.chat.key import Key
from multidir.chat.request import ChatModel
from multidir.config import Calls
from multidir.errors import JudgeError

if TYPE_CHECKING:
    import openai

FORM_REFUSED = (400, 422, 501)
"""Status codes by which servers say that they do not know a form of answer (and by which they say other things)."""

_LONGEST = 300


def failure(error: openai.OpenAIError, chat: ChatModel, calls: Calls, key: Key) -> JudgeError:
    """The sentence for an exception of the client.

    Raise it `from None`: the client's exceptions hold the request, and with it the key.
    """
    import openai

    who, tries = f"{chat.model} at {chat.base_url}", f"{1 + calls.retries} tries"
    if isinstance(error, openai.APITimeoutError):
        return JudgeError(
            f"{who} gave no answer within {calls.timeout_seconds:g} s in {tries}; raise --timeout-seconds or lower "
            "--workers, the answers so far are kept"
        )
    if isinstance(error, openai.APIConnectionError):
        return JudgeError(f"{who} cannot be reached in {tries} ({key.scrub(str(error))}); check --base-url")
    said = " ".join(key.scrub(str(error)).split())[:_LONGEST]
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return JudgeError(f"{who} refuses the key in {calls.key_variable}: {said}")
    if isinstance(error, openai.RateLimitError):
        return JudgeError(
            f"{who} still limits the rate after {tries}: {said}; lower --workers or try later, the answers so far are "
            "kept"
        )
    return JudgeError(f"{who} refuses the call: {said}")
