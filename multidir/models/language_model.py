"""A model with its tokenizer: the one object that everything else takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from multidir.errors import ModelError
from multidir.models.blocks import decoder_blocks, width
from multidir.types import Role


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model, its tokenizer and who it is."""

    role: Role
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    """Hash over configuration, weights and tokenizer; equal files give equal fingerprints."""
    source: str = ""
    """As it was asked for."""
    complete: bool = True
    """False when the upper blocks were left out: good for capture, unable to predict tokens."""

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks that are loaded."""
        return len(decoder_blocks(self.model))

    @property
    def d(self) -> int:
        """Width of the residual stream."""
        return width(self.model)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in."""
        return self.model.dtype

    @property
    def vocab_size(self) -> int:
        """Number of rows of the embedding: ids at or above it cannot be run."""
        return int(cast(Tensor, self.model.get_input_embeddings().weight).shape[0])

    @property
    def max_positions(self) -> int | None:
        """Longest sequence the model was made for, if it says so."""
        return getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Token ids that end a generation, of the generation config and of the tokenizer."""
        found: set[int] = set()
        for value in (getattr(self.model.generation_config, "eos_token_id", None), self.tokenizer.eos_token_id):
            found.update([] if value is None else [value] if isinstance(value, int) else value)
        return tuple(sorted(found))

    @property
    def pad_id(self) -> int:
        """Token id to fill batches with; never attended to, so any valid id will do."""
        return self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else (self.eos_ids or (0,))[0]

    def require_complete(self, what: str) -> None:
        """Refuse to predict tokens with half a model.

        Raises:
            ModelError: the upper blocks were left out when it was loaded.
        """
        if not self.complete:
            raise ModelError(
                f"cannot {what} with {self.source}: only {self.n_layers} of its blocks were loaded; load it whole"
            )

    def __repr__(self) -> str:
        shape = f"{self.n_layers} blocks of {self.d}"
        return f"LanguageModel({self.role}: {self.source}, {shape}, {self.dtype}, {self.device})"
