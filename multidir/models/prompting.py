"""From text to the token ids a model expects: chat template where there is one, and exactly one BOS."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from multidir.errors import ConfigError, ModelError


def render_prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Token ids of a prompt, ready to be continued.

    A model with a chat template gets the text as a user turn with the assistant's turn opened (for a
    reasoning model the template also opens the reasoning); a model without one gets the plain text.
    A template writes its own BOS, so its text is tokenised without adding another.

    Raises:
        ConfigError: empty text.
        ModelError: the result begins with two BOS tokens.
    """
    if not text.strip():
        raise ConfigError("a prompt is empty; there is nothing to continue")
    if tokenizer.chat_template:
        turn = [{"role": "user", "content": text}]
        ids = encode(tokenizer, str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)))
    else:
        ids = tuple(tokenizer(text, add_special_tokens=True).input_ids)
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:2] == (bos, bos):
        raise ModelError(f"the chat template of {tokenizer.name_or_path} writes two BOS tokens; correct the template")
    return ids


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Token ids of a piece of text as it stands, nothing added."""
    return tuple(tokenizer(text, add_special_tokens=False).input_ids)
