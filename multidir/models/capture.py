"""Reading the residual stream of many sequences, stopping each pass after the last block that is wanted.

Sequences are padded on the right: a causal model never looks at what comes after, so padding needs no
mask and changes nothing in float32. In half precision the shape of a batch changes the last bits; batches are
therefore made from fixed stretches of the input, whatever has been captured before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress

import torch
from torch import Tensor

from multidir.errors import AlignmentError, ConfigError
from multidir.models.blocks import check_site, decoder
from multidir.models.device import Drain, compiled_blocks
from multidir.models.hooks import ResidualFn, residual_hooks
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site
from multidir.store.portions import portions

STRETCH = 16
"""Batches are formed within stretches of this many batches' tokens: enough for sequences of like length to meet."""


class _Enough(Exception):
    """Raised by the last hook: everything wanted has been seen."""


def capture(
    lm: LanguageModel,
    sequences: Sequence[Sequence[int]],
    sites: Sequence[Site],
    batch_tokens: int = 8192,
    done: Collection[int] = frozenset(),
    ahead: int | None = None,
    compiled: bool = False,
) -> Iterator[tuple[int, dict[Site, Tensor]]]:
    """Yield each sequence's index and its residual stream at every site, in input order.

    Args:
        lm: any causal model; its head is never run.
        sequences: token ids, each starting at its first position.
        sites: where to read. The stream at a block's output equals `hidden_states[layer + 1]` of transformers in
            a batch of the same shape, bit for bit (for the last block transformers reports it after the final norm).
        batch_tokens: tokens of a batch, padding included; a longer sequence is a batch by itself.
        done: indices that are not needed again. Batches keep their shape without them, so that a
            capture that was interrupted yields the same bits as one that was not.
        ahead: tokens of a stretch of the input in which sequences of like length are brought together and which is
            held in memory as a whole; 16 batches when none. No batch is larger.
        compiled: run compiled blocks on a GPU; the last bits then differ. Nothing happens on a CPU.
    Returns:
        Tensors (t, d) on the CPU in the model's dtype, each owning its memory.
    Raises:
        ConfigError: no site, a site beyond the model, or a sequence longer than the model can place.
        AlignmentError: an empty sequence or an id outside the vocabulary; the index is named.
    """
    wanted = sorted(set(sites))
    _check(lm, sequences, wanted, batch_tokens)
    stretch = STRETCH * batch_tokens if ahead is None else max(1, ahead)
    return _capture(lm, sequences, wanted, min(batch_tokens, stretch), frozenset(done), stretch, compiled)


def _check(lm: LanguageModel, sequences: Sequence[Sequence[int]], sites: Sequence[Site], batch_tokens: int) -> None:
    if not sites or batch_tokens < 1:
        raise ConfigError(f"capture needs at least one site and batch_tokens >= 1; got {len(sites)} and {batch_tokens}")
    for site in sites:
        check_site(lm.model, site)
    check_sequences(lm, sequences)


def check_sequences(lm: LanguageModel, sequences: Sequence[Sequence[int]], extra: int = 0) -> None:
    """Refuse sequences this model cannot run, before any of them has been run.

    Args:
        extra: tokens that will be added to each.
    Raises:
        AlignmentError: an empty sequence, or an id outside the vocabulary.
        ConfigError: longer than the model's positions.
    """
    vocab, limit = lm.vocab_size, lm.max_positions
    for index, ids in enumerate(sequences):
        if not len(ids) or min(ids) < 0 or max(ids) >= vocab:
            wrong = f"token id {max(ids) if min(ids) >= 0 else min(ids)}" if len(ids) else "no tokens"
            raise AlignmentError(f"sequence {index} has {wrong}; {lm.source} knows 0 to {vocab - 1}: map it or drop it")
        if limit is not None and len(ids) + extra > limit:
            raise ConfigError(
                f"sequence {index} needs {len(ids) + extra} positions, {lm.source} was made for {limit}; "
                "shorten the prompt or generate fewer tokens"
            )


def _capture(
    lm: LanguageModel,
    sequences: Sequence[Sequence[int]],
    sites: list[Site],
    batch_tokens: int,
    done: frozenset[int],
    ahead: int,
    compiled: bool,
) -> Iterator[tuple[int, dict[Site, Tensor]]]:
    lengths, drain = [len(ids) for ids in sequences], Drain(lm.device)
    with ExitStack() as stack:
        if compiled and lm.device.type == "cuda":
            stack.enter_context(compiled_blocks(lm.model, sites[-1].layer))
        for stretch in portions(lengths, ahead):
            if done.issuperset(stretch):
                continue
            found: dict[int, dict[Site, Tensor]] = {}
            for batch in length_batches(lengths, stretch, batch_tokens):
                if not done.issuperset(batch):
                    found |= _run(lm, sequences, batch, sites, done, drain)
            drain.wait()
            for index in stretch:
                if index in found:
                    yield index, found.pop(index)


def length_batches(lengths: Sequence[int], indices: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Batches of like length, longest first, of at most `tokens` tokens with padding."""
    order = sorted(indices, key=lambda index: (-lengths[index], index))
    while order:
        rows = max(1, tokens // lengths[order[0]])
        yield order[:rows]
        order = order[rows:]


def right_padded(sequences: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids (b, t) filled up on the right, and explicit position ids (1, t): those that transformers takes by itself."""
    width = max(len(ids) for ids in sequences)
    ids = torch.full((len(sequences), width), pad, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.long)
    return ids, torch.arange(width)[None]


@torch.inference_mode()
def _run(
    lm: LanguageModel,
    sequences: Sequence[Sequence[int]],
    batch: list[int],
    sites: list[Site],
    done: frozenset[int],
    drain: Drain,
) -> dict[int, dict[Site, Tensor]]:
    """Rows of one batch by sequence and site; from a GPU they are there once the drain has been waited for."""
    ids, positions = right_padded([sequences[index] for index in batch], lm.pad_id)
    wanted = [0 if index in done else len(sequences[index]) for index in batch]
    found: dict[int, dict[Site, Tensor]] = {index: {} for index in batch if index not in done}

    def keep(site: Site) -> ResidualFn:
        def read(hidden: Tensor) -> None:
            for index, rows in zip(batch, drain.rows(hidden, wanted), strict=True):
                if index in found:
                    found[index][site] = rows
            if site == sites[-1]:
                raise _Enough

        return read

    with suppress(_Enough), residual_hooks(lm.model, [(site, keep(site)) for site in sites]):
        decoder(lm.model)(ids.to(lm.device), position_ids=positions.to(lm.device), use_cache=False)
    return found
