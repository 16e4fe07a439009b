"""What was asked and what was written: prompts, reasoning traces and their sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from multidir.errors import AlignmentError, ConfigError


@dataclass(frozen=True)
class Prompt:
    """One problem put to the reasoning model."""

    id: str
    """`<category>_<number>`, unique in its set."""
    category: str
    text: str
    answer: str | None = None
    """The right answer, where there is one to check."""

    def __post_init__(self) -> None:
        """Refuse a prompt without id or text."""
        if not self.id or not self.text.strip():
            raise ConfigError(f"prompt {self.id!r} has no {'text' if self.id else 'id'}")


@dataclass(frozen=True)
class Trace:
    """One answer of a model, with the exact token ids it was made of.

    `token_ids[:n_prompt]` is the rendered prompt (template, BOS and all); the rest was written by the
    model. `text` is the decoded second part. Ids are stored because decoding and encoding again can
    change them.
    """

    id: str
    prompt_id: str
    category: str
    token_ids: tuple[int, ...]
    n_prompt: int
    text: str
    model: str = ""
    """Fingerprint of the model that wrote it (see `store.provenance`), or where the text comes from."""
    sampling: dict[str, Any] = field(default_factory=dict)
    """Generation settings: do_sample, temperature, top_p, max_new_tokens, seed."""
    finished: bool = True
    """False when the length limit cut it off."""

    def __post_init__(self) -> None:
        """Refuse a prompt length beyond the tokens."""
        if not 0 <= self.n_prompt <= len(self.token_ids):
            raise AlignmentError(
                f"trace {self.id}: n_prompt is {self.n_prompt}, but there are {len(self.token_ids)} tokens"
            )


@dataclass(frozen=True)
class Sentence:
    """One labelled stretch of a trace: `trace.text[char_start:char_end]` and the tokens that cover it.

    Token positions are absolute (the first prompt token is 0). The label None means *not labelled*:
    an annotator that could not decide says so, and the sentence is counted, never taken for a negative.
    """

    trace_id: str
    index: int
    """Order within the trace, from 0."""
    char_start: int
    char_end: int
    token_start: int
    token_end: int
    label: str | None
    annotator: str
    """Name and version of who labelled it: `grammar/1`, `lexical/1`, `published/gpt-4o`."""

    def __post_init__(self) -> None:
        """Refuse empty and reversed spans."""
        if not (0 <= self.char_start < self.char_end and 0 <= self.token_start < self.token_end):
            raise AlignmentError(
                f"trace {self.trace_id}, sentence {self.index}: empty or reversed span, characters "
                f"{self.char_start}:{self.char_end}, tokens {self.token_start}:{self.token_end}"
            )
