"""Texts that are already written: what the model would say next at chosen positions.

Nothing is generated. Only the positions that are asked pass the unembedding, and nothing after the last of them is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidir.errors import ConfigError
from multidir.models.cache import RoomyCache
from multidir.models.capture import check_sequences
from multidir.models.generation import Edits
from multidir.models.hooks import ResidualFn, residual_hooks
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import LOGITS
from multidir.models.prefill import Piece, run
from multidir.records.site import Site

Hooks = Sequence[tuple[Site, ResidualFn]]


@dataclass(frozen=True)
class Context:
    """A text, and the positions at which the next token is asked."""

    ids: tuple[int, ...]
    at: tuple[int, ...]
    """Position p asks for the distribution of the token after `ids[: p + 1]`."""
    n_prompt: int
    """Tokens of the prompt, for scopes that begin where it ends."""

    def __post_init__(self) -> None:
        """Refuse positions that the text does not have."""
        object.__setattr__(self, "ids", tuple(map(int, self.ids)))
        object.__setattr__(self, "at", tuple(map(int, self.at)))
        n = len(self.ids)
        rising = self.at and list(self.at) == sorted(set(self.at)) and self.at[0] >= 0 and self.at[-1] < n
        if not rising or not 0 < self.n_prompt <= n:
            raise ConfigError(
                f"a context of {n} tokens needs positions from 0 to {n - 1} in rising order and 1 to {n} prompt "
                f"tokens; got positions {list(self.at)} and {self.n_prompt} prompt tokens"
            )

    @property
    def read(self) -> tuple[int, ...]:
        """The tokens that are run: none after the last position that is asked."""
        return self.ids[: self.at[-1] + 1]

    def piece(self, row: int = 0) -> Piece:
        """All of it, to be run with the edits of a row."""
        return Piece(self.read, 0, (), row, self.n_prompt)


def next_logits(
    lm: LanguageModel, contexts: Sequence[Context], edits: Sequence[Edits] = (), hooks: Hooks = ()
) -> Tensor:
    """Logits (n, v) at every position that is asked, context by context: one pass, differentiable.

    A vector that a hook adds can be learned through it: `hooks=[(site, lambda x: x + v)]`.

    Args:
        edits: each edits one site; its row i belongs to context i.
        hooks: what else to do with the residual stream.
    Raises:
        AlignmentError: no tokens, or an id outside the vocabulary.
        ConfigError: a text longer than the model's positions.
        ModelError: a model without its upper blocks.
    """
    check_contexts(lm, contexts)
    pieces = [context.piece(row) for row, context in enumerate(contexts)]
    with residual_hooks(lm.model, hooks):
        return asked_logits(lm, pieces, [context.at for context in contexts], edits, keep=False)[1]


def check_contexts(lm: LanguageModel, contexts: Sequence[Context]) -> None:
    """Refuse what this model cannot read, before it runs."""
    lm.require_complete("read texts")
    check_sequences(lm, [context.read for context in contexts])


def asked_logits(
    lm: LanguageModel, pieces: Sequence[Piece], at: Sequence[Sequence[int]], edits: Sequence[Edits], keep: bool = True
) -> tuple[RoomyCache, Tensor]:
    """One pass over pieces: its cache, and the logits (n, v) at their positions, piece by piece."""
    rows = [row for row, places in enumerate(at) for _ in places]
    columns = [place - piece.start for piece, places in zip(pieces, at, strict=True) for place in places]
    with _asked_alone(lm, rows, columns):
        cache, output = run(lm, pieces, edits, lm.model, keep)
    logits: Tensor = output.logits[0]
    return cache, logits


@contextmanager
def _asked_alone(lm: LanguageModel, rows: list[int], columns: list[int]) -> Iterator[None]:
    """Let only these positions (n) of a batch into the unembedding, as one row (1, n, d)."""
    index = torch.tensor(rows, device=lm.device), torch.tensor(columns, device=lm.device)

    def gather(_module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][index][None], *args[1:])

    model: Any = lm.model
    handle = model.get_output_embeddings().register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()


def forced_batches(
    lm: LanguageModel, pieces: Sequence[Piece], at: Sequence[Sequence[int]], tokens: int
) -> Iterator[list[int]]:
    """Pieces of like shape that are run together: so many that tokens and logits fit; at least one."""
    order = sorted(range(len(pieces)), key=lambda i: (-len(pieces[i].ids), -pieces[i].start, i))
    batch: list[int] = []
    asked = 0
    for index in order:
        asked += len(at[index])
        if batch and ((len(batch) + 1) * len(pieces[batch[0]].ids) > tokens or asked * lm.vocab_size > LOGITS):
            yield batch
            batch, asked = [], len(at[index])
        batch.append(index)
    if batch:
        yield batch
