"""Where the reasoning part of an answer ends: at `</think>`, for models that write one."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from multidir.models.align import decode_text

END_OF_THINKING = "</think>"


def thinking_length(tokenizer: PreTrainedTokenizerBase, new_ids: Sequence[int]) -> int:
    """How many of the generated tokens come before `</think>`; all of them when it was never written."""
    marker = tokenizer.get_vocab().get(END_OF_THINKING)
    return list(new_ids).index(marker) if marker is not None and marker in new_ids else len(new_ids)


def thinking_text(tokenizer: PreTrainedTokenizerBase, new_ids: Sequence[int]) -> str:
    """The text of the reasoning part: what is labelled and counted. The final answer is a summary of it."""
    return decode_text(tokenizer, new_ids[: thinking_length(tokenizer, new_ids)])
