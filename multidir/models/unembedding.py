"""What a model reads its next token from: the unembedding with its final norm, and the text of every token."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from multidir.errors import ModelError
from multidir.models.blocks import decoder
from multidir.models.language_model import LanguageModel
from multidir.types import FloatArray, Role

NORMS = ("norm", "ln_f", "final_layer_norm", "final_norm", "norm_f")
"""What known architectures call the norm after the last block, tried in this order."""

_CHUNK_VALUES = 1 << 26
"""Weights widened to float32 at once: 256 MiB."""


@dataclass(frozen=True, eq=False)
class Unembedding:
    """The last step of a model, apart from the rest of it."""

    role: Role
    weight: Tensor
    """(vocabulary, d)."""
    norm: nn.Module
    """The norm that the residual stream passes before it is read."""
    tokens: tuple[str, ...]
    """Text of every id by itself; empty for ids without a token."""

    @torch.inference_mode()
    def logits(self, vectors: FloatArray, final_norm: bool = False) -> FloatArray:
        """Logits of vectors of the residual stream, computed in float32.

        Args:
            vectors: (k, d) float.
            final_norm: pass the final norm first; a norm takes the length of a vector out.
        Returns:
            (k, vocabulary) float32.
        """
        x = torch.as_tensor(vectors, dtype=torch.float32, device=self.weight.device)
        if final_norm:
            x = copy.deepcopy(self.norm).float()(x)
        step = max(1, _CHUNK_VALUES // self.weight.shape[1])
        parts = [x @ self.weight[i : i + step].float().T for i in range(0, len(self.weight), step)]
        found: FloatArray = torch.cat(parts, dim=1).cpu().numpy()
        return found


def unembedding(lm: LanguageModel) -> Unembedding:
    """The unembedding of a model; one of `load_head` will do.

    Raises:
        ModelError: the model has no language-model head, or its final norm cannot be found.
    """
    model: Any = lm.model
    head = model.get_output_embeddings()
    if head is None:
        raise ModelError(f"{lm.source} has no unembedding: {type(lm.model).__name__} predicts no tokens")
    owner = decoder(lm.model)
    norm = next((found for name in NORMS if (found := getattr(owner, name, None)) is not None), None)
    if norm is None:
        raise ModelError(f"cannot find the final norm of {type(lm.model).__name__}; tried {', '.join(NORMS)}")
    weight = cast(Tensor, head.weight).detach()
    return Unembedding(lm.role, weight, norm, tuple(_texts(lm.tokenizer, int(weight.shape[0]))))


def _texts(tokenizer: PreTrainedTokenizerBase, count: int) -> Iterator[str]:
    known = set(tokenizer.get_vocab().values())
    ids = [index for index in range(count) if index in known]
    decoded = tokenizer.batch_decode([[index] for index in ids], clean_up_tokenization_spaces=False)
    texts = dict(zip(ids, decoded, strict=True))
    yield from (str(texts.get(index, "")) for index in range(count))
