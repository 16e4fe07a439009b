"""What tokens write, for scopes that depend on it: where a text is complete, where a sentence begins or may begin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from multidir.annotate.segment import split_sentences
from multidir.errors import ConfigError
from multidir.models.align import token_bytes

TAIL = 80
"""Tokens before a position that decide whether a sentence begins there, unless there is code."""
NEAR = 8
"""Tokens between a stop and the next sentence, at most: quotation marks, brackets, space."""

_STOPS = re.compile(r"[.!?\n\u2026\u3002\uff01\uff1f]")


class TokenText:
    """The bytes that each token id writes. A special token separates like a line break, an id without text is empty."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._single: dict[str, int] = {}

    @cached_property
    def _pieces(self) -> dict[int, bytes]:
        ids = sorted(self._tokenizer.get_vocab().values())
        return dict(zip(ids, token_bytes(self._tokenizer, ids, special=b"\n"), strict=True))

    def _written(self, ids: Sequence[int]) -> list[bytes]:
        return [self._pieces.get(token, b"") for token in ids]

    def token_id(self, token: int | str) -> int:
        """The id of a single token.

        Raises:
            ConfigError: the text is written with several tokens, or none.
        """
        if isinstance(token, int) or token in self._single:
            return token if isinstance(token, int) else self._single[token]
        ids = self._tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1:
            names = " ".join(repr(piece.decode(errors="replace")) for piece in self._written(ids))
            raise ConfigError(
                f"{token!r} is {len(ids)} tokens here ({names}); give a token id, or a scope that begins from the text"
            )
        self._single[token] = int(ids[0])
        return self._single[token]

    def completes(self, ids: Sequence[int], text: str, first: int) -> int | None:
        """Index of the token that completes the first occurrence of a text that ends at or after index `first`."""
        if first >= len(ids):
            return None
        pieces, wanted = self._written(ids), text.encode()
        ends = list(accumulate(map(len, pieces)))
        data, done = b"".join(pieces), ends[first - 1] if first else 0
        found = data.find(wanted, max(0, done - len(wanted) + 1))
        return None if found < 0 else next(i for i, end in enumerate(ends) if end >= found + len(wanted))

    def begins_sentence(self, ids: Sequence[int], index: int) -> bool:
        """Whether the token at an index holds the first character of a sentence, judged from the text up to it."""
        if not self._may(ids, index):
            return False
        before, through = self._around(ids, index)
        spans = split_sentences(through)
        return bool(spans) and spans[-1][0] >= len(before)

    def ends_sentence(self, ids: Sequence[int], index: int) -> bool:
        """Whether a word after the token at an index would begin a sentence."""
        if not self._may(ids, index):
            return False
        _, text = self._around(ids, index)
        text += "" if text[-1:].isspace() else " "
        return split_sentences(text + "The")[-1][0] == len(text)

    def _may(self, ids: Sequence[int], index: int) -> bool:
        """Whether there is a stop or a line break close by: a cheap look before the exact one."""
        near = b"".join(self._written(ids[max(0, index - NEAR) : index + 1]))
        return index < NEAR or _STOPS.search(near.decode(errors="ignore")) is not None

    def _around(self, ids: Sequence[int], index: int) -> tuple[str, str]:
        """Text before a token and text with it, as far back as matters."""
        pieces = self._written(ids[: index + 1])
        start = 0 if any(b"`" in piece for piece in pieces) else max(0, index - TAIL)
        before, through = b"".join(pieces[start:index]), b"".join(pieces[start:])
        return before.decode(errors="ignore"), through.decode(errors="ignore")


@lru_cache(maxsize=2)
def token_text(tokenizer: PreTrainedTokenizerBase) -> TokenText:
    """The texts of a tokenizer's vocabulary, which is read when it is first needed and kept."""
    return TokenText(tokenizer)
