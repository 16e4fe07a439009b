"""Running stretches of known tokens, each after what is already cached of its row, many rows at a time.

What is cached is aligned at its right end and the stretch at its left, so that no gap lies between them:

    [pad pad past past | new new new pad]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from multidir.models.blocks import cached, decoder
from multidir.models.cache import KeyValues, RoomyCache
from multidir.models.generation import Edits
from multidir.models.language_model import LanguageModel
from multidir.models.positions import PAD, Positions

TOKENS = 8192
"""Tokens of one pass, padding and what is attended to included; one row may be longer."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Tokens `ids[start:]` of a row, to be run after `ids[:start]`, whose keys and values are `past`."""

    ids: tuple[int, ...]
    start: int
    past: Sequence[KeyValues]
    """Stretches that together cover `ids[:start]`."""
    row: int = 0
    """Whose edits it gets."""
    n_prompt: int = 0
    """Prompt tokens of that row, for edits that need to know."""


@torch.inference_mode()
def prefill(lm: LanguageModel, pieces: Sequence[Piece], edits: Sequence[Edits] = ()) -> list[KeyValues]:
    """Keys and values of the new tokens of every piece."""
    found: dict[int, KeyValues] = {}
    for batch in batches(pieces):
        before = max(pieces[index].start for index in batch)
        cache, _ = run(lm, [pieces[index] for index in batch], edits, decoder(lm.model))
        for row, index in enumerate(batch):
            last = before + len(pieces[index].ids) - pieces[index].start
            found[index] = cache.stretch(row, before, last)
    return [found[index] for index in range(len(pieces))]


def batches(pieces: Sequence[Piece], tokens: int = TOKENS) -> Iterator[list[int]]:
    """Indices of pieces of like shape that are run together."""
    order = sorted(range(len(pieces)), key=lambda i: (-len(pieces[i].ids), -pieces[i].start, i))
    while order:
        rows = max(1, tokens // len(pieces[order[0]].ids))
        yield order[:rows]
        order = order[rows:]


def run(
    lm: LanguageModel, pieces: Sequence[Piece], edits: Sequence[Edits], module: nn.Module, keep: bool = True
) -> tuple[RoomyCache, Any]:
    """One forward pass over the new tokens of some pieces, with their edits hooked in.

    Args:
        module: the model, or its decoder where no logits are wanted.
        keep: False to use no cache, which has to stay out of a pass that is differentiated; then no piece has a past.
    Returns:
        The cache, whose columns are those of the picture above, and what the module gave.
    """
    batch = _Padded(pieces, lm.pad_id, lm.device)
    cache = RoomyCache(lm.model, spare=batch.ids.shape[1])
    cache.enter([piece.past for piece in pieces])
    positions = Positions()
    positions.current, positions.tokens, positions.fresh = batch.places, batch.tokens, batch.before == 0
    rows, n_prompt = [piece.row for piece in pieces], [piece.n_prompt for piece in pieces]
    with ExitStack() as stack:
        for edit in edits:
            stack.enter_context(edit.attach(lm, positions, rows, n_prompt))
        output = module(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.position_ids,
            **cached(module, cache if keep else None),
            use_cache=keep,
        )
    return cache, output


class _Padded:
    """The tensors of one pass."""

    def __init__(self, pieces: Sequence[Piece], pad: int, device: torch.device) -> None:
        self.before = max(piece.start for piece in pieces)
        width = max(len(piece.ids) - piece.start for piece in pieces)
        tokens = torch.full((len(pieces), self.before + width), PAD, dtype=torch.long)
        for row, piece in enumerate(pieces):
            first = self.before - piece.start
            tokens[row, first : first + len(piece.ids)] = torch.tensor(piece.ids, dtype=torch.long)
        starts = torch.tensor([[piece.start] for piece in pieces])
        new = tokens[:, self.before :]
        position_ids = starts + torch.arange(width)
        self.tokens = tokens.to(device)
        self.ids = new.masked_fill(new == PAD, pad).to(device)
        self.places = position_ids.masked_fill(new == PAD, PAD).to(device)
        self.position_ids = position_ids.to(device)
        self.mask = self._mask(starts, tokens.shape[1], device)

    def _mask(self, starts: Tensor, width: int, device: torch.device) -> Tensor | None:
        """Hides what lies left of a row's past; padding at its right comes later and is never looked at."""
        if bool((starts == self.before).all()):
            return None
        return (torch.arange(width) >= self.before - starts).long().to(device)
