"""How likely a model finds what is written or asked: log-odds of tokens, divergences, mean log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from multidir.models.capture import check_sequences, length_batches, right_padded
from multidir.models.generation import Generation
from multidir.models.language_model import LanguageModel
from multidir.models.packed_linear import PackedLinears

LOGITS = 1 << 26
"""Most logits held at once: 256 MiB in float32."""


def log_odds(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """Log-odds (n,) that the next token is one of a set, from logits (n, v).

    log p(set) - log (1 - p(set))
    """
    chosen = torch.as_tensor(tokens, dtype=torch.long, device=logits.device)
    others = logits.float().index_fill(-1, chosen, float("-inf"))
    return logits[..., chosen].float().logsumexp(-1) - others.logsumexp(-1)


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats over the last axis, from log-probabilities; never below zero by rounding."""
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0)


def mean_logprobs(lm: LanguageModel, generations: Sequence[Generation], batch_tokens: int = 8192) -> list[float | None]:
    """Mean log-probability per generated token, in nats, teacher-forced; None where nothing was generated.

    The end token counts as generated. The model runs as it is: leave every `steer` first.

    Raises:
        AlignmentError: an id outside the vocabulary.
        ConfigError: a text longer than the model's positions.
        ModelError: a model without its upper blocks.
    """
    lm.require_complete("score text")
    texts = [generation.token_ids for generation in generations]
    check_sequences(lm, texts)
    lengths = [len(ids) for ids in texts]
    found: list[float | None] = [None] * len(texts)
    some = [i for i, g in enumerate(generations) if 0 < g.n_prompt < len(g.token_ids)]
    with PackedLinears(lm.model).used():
        for batch in length_batches(lengths, some, max(1, min(batch_tokens, LOGITS // lm.vocab_size))):
            for index, scores in zip(batch, _scores(lm, [generations[index] for index in batch]), strict=True):
                found[index] = float(scores.double().mean())
    return found


@torch.inference_mode()
def _scores(lm: LanguageModel, generations: Sequence[Generation]) -> list[Tensor]:
    """Log-probability of each generated token, one tensor per generation."""
    ids, positions = right_padded([generation.token_ids for generation in generations], lm.pad_id)
    first = min(generation.n_prompt for generation in generations)
    ids = ids.to(lm.device)
    logits = lm.model(
        input_ids=ids, position_ids=positions.to(lm.device), use_cache=False, logits_to_keep=ids.shape[1] - first + 1
    ).logits[:, :-1]
    chosen = logits.gather(-1, ids[:, first:, None]).squeeze(-1).float() - logits.float().logsumexp(-1)
    return [chosen[row, g.n_prompt - first : len(g.token_ids) - first].cpu() for row, g in enumerate(generations)]
