"""What a set of calls will cost, said before the first one is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from multidir.chat.cache import AnswerCache
from multidir.chat.prices import Price
from multidir.chat.request import Request

BYTES_PER_TOKEN = 4.0
"""English prose, about."""


@dataclass(frozen=True)
class Forecast:
    """What calls cost, about and at most."""

    calls: int
    kept: int
    """Answers that are there already and cost nothing."""
    read: float
    """Tokens, about."""
    written: float
    usd: float
    worst_usd: float
    """If every byte were a token and every answer as long as it may be; retries left out."""

    def __str__(self) -> str:
        return (
            f"{self.calls} calls ({self.kept} answers are there already), about {self.read / 1e3:.0f}k tokens read and "
            f"{self.written / 1e3:.0f}k written: about {self.usd:.2f} USD, at most {self.worst_usd:.2f}"
        )


def forecast(questions: Iterable[tuple[Request, float]], cache: AnswerCache, price: Price) -> Forecast:
    """Add up what questions cost.

    Args:
        questions: each with the tokens that its answer is likely to have.
        cache: the answers that are there.
        price: of the model.
    """
    calls = kept = 0
    read = written = worst = 0.0
    for request, answer in questions:
        if cache.get(request.key) is not None:
            kept += 1
            continue
        calls += 1
        read += sum(len(text.encode()) for _, text in request.messages) / BYTES_PER_TOKEN
        written += answer
        worst += price.worst(request)
    return Forecast(calls, kept, read, written, (read * price.read + written * price.written) / 1e6, worst)
