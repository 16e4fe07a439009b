"""Asking: from the kept answers when there is one, else from the endpoint, under the cap, in a form it understands."""

from __future__ import annotations

import json
import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from multidir.chat.cache import AnswerCache
from multidir.chat.database import Database
from multidir.chat.failures import FORM_REFUSED, failure
from multidir.chat.key import Key
from multidir.chat.ledger import Ledger
from multidir.chat.prices import price_of
from multidir.chat.reply import Reply, read_completion
from multidir.chat.request import ChatModel, Form, Request
from multidir.config import Calls
from multidir.errors import JudgeError
from multidir.store.provenance import cache_folder

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

Accept = Callable[[Reply], bool]
"""Whether a reply is a whole answer; only such a reply is kept."""


@dataclass
class _Tries:
    """Requests that one call sent, its retries included."""

    sent: int = 0
    refused: int = 0
    """Answered with an error status, which is never billed."""

    @property
    def unseen(self) -> int:
        """Those that may have been billed."""
        return self.sent - self.refused


class Chat:
    """One model behind an API; may be asked from many threads.

    Args:
        chat: which model, and how it answers.
        calls: how fast and for how much.
        account: whose money it is, such as a run; the cap holds for everything that is asked under this name.
    Raises:
        ConfigError: no price of the model is known.
    """

    def __init__(self, chat: ChatModel, calls: Calls, account: str) -> None:
        self.chat, self.calls = chat, calls
        self.price = price_of(chat, calls.price)
        self.database = Database((calls.answers or cache_folder() / "answers") / "answers.sqlite")
        self.cache = AnswerCache(self.database)
        self.ledger = Ledger(self.database, account, calls.max_usd)
        self.key = Key(calls.key_variable, chat.base_url)
        self._forms = chat.forms
        self._thread = threading.local()

    def __repr__(self) -> str:
        return f"Chat({self.chat.model} at {self.chat.base_url}, {self.ledger})"

    def ask(self, request: Request, accept: Accept) -> Reply:
        """The answer to a request.

        Raises:
            JudgeError: the cap is reached, or the endpoint gives no answer after all retries.
            ConfigError: no key is set.
        """
        if (known := self.cache.get(request.key)) is not None:
            return known
        worst = self.price.worst(request)
        hold = self.ledger.reserve(worst * (1 + self.calls.retries))
        tries = self._thread.tries = _Tries()
        try:
            reply = self._post(request)
        except BaseException:
            self.ledger.settle(hold, request.key, self.chat.model, unseen=worst * tries.unseen)
            raise
        if reply.usage is None:  # the server does not say what it billed, so it may be the most
            self.ledger.settle(hold, request.key, reply.model, unseen=worst * tries.unseen)
        else:
            usd, unseen = self.price.of(reply.usage), worst * (tries.unseen - 1)
            self.ledger.settle(hold, request.key, reply.model, reply.usage, usd, unseen)
        if accept(reply):
            self.cache.put(request.key, reply)
        return reply

    def _post(self, request: Request) -> Reply:
        """Call the endpoint in the strictest form that it accepts."""
        import openai

        first: openai.APIStatusError | None = None
        for form in self._forms:
            try:
                made = self.client.chat.completions.with_raw_response.create(**request.body(form))
            except openai.APIStatusError as error:
                first = first or error  # the complaint about the form that was asked for is the telling one
                if error.status_code not in FORM_REFUSED:
                    break
            except openai.OpenAIError as error:
                raise failure(error, self.chat, self.calls, self.key) from None
            else:
                self._settle_on(form)
                return read_completion(_json(self.key.scrub(made.text)), form)
        assert first is not None
        raise failure(first, self.chat, self.calls, self.key) from None

    def _settle_on(self, form: Form) -> None:
        """Ask in this form from now on."""
        if form != self._forms[0]:
            log.warning("%s does not accept %s; answers are asked for as %s", self.chat.base_url, self._forms[0], form)
            self._forms = (form,)

    @cached_property
    def client(self) -> openai.OpenAI:
        """The client of the endpoint, made when it is first needed."""
        import openai

        transport = openai.DefaultHttpxClient(event_hooks=_counting(self._thread))
        weakref.finalize(self, transport.close)
        return openai.OpenAI(
            api_key=self.key.reveal(),
            base_url=self.chat.base_url,
            timeout=self.calls.timeout_seconds,
            max_retries=self.calls.retries,
            http_client=transport,
        )


def _counting(thread: threading.local) -> dict[str, list[Callable[[Any], None]]]:
    """Hooks of the transport that count each call's tries; every call runs in one thread."""

    def sent(_: Any) -> None:
        if tries := getattr(thread, "tries", None):
            tries.sent += 1

    def answered(response: Any) -> None:
        if tries := getattr(thread, "tries", None):
            tries.refused += response.status_code != 200

    return {"request": [sent], "response": [answered]}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise JudgeError(
            f"the endpoint answered no JSON but {text[:80]!r}; check --base-url, which usually ends in /v1"
        ) from None
