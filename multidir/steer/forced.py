"""Teacher forcing under many conditions: log-odds of a token set, and how far each condition moves the next token.

    log-odds = log p(set) - log (1 - p(set))        KL = sum p log(p / q),  q of the unsteered model

What a condition shares with the unsteered model is not run again: a row starts at the first position that it edits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ConfigError, ModelError
from multidir.models.cache import KeyValues
from multidir.models.forced import Context, asked_logits, check_contexts, forced_batches
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import kl_divergence, log_odds
from multidir.models.packed_linear import PackedLinears
from multidir.models.prefill import Piece
from multidir.progress import progress
from multidir.records.site import Site
from multidir.steer.edit import RowEdits, check_edits
from multidir.steer.receipt import check_row
from multidir.steer.steering import Mixture, row_edits
from multidir.steer.sweep import row_seed
from multidir.steer.token_text import token_text
from multidir.types import FloatArray


@dataclass(frozen=True, eq=False)
class Forced:
    """What one context would go on with under every condition."""

    log_odds: FloatArray
    """(c, m) of the token set, by condition and asked position; nan where no set was given."""
    kl: FloatArray
    """(c, m) divergence of the next token's distribution from the unsteered one, in nats."""


def token_set(lm: LanguageModel, tokens: Sequence[str | int]) -> tuple[int, ...]:
    """Ids of tokens that are given as ids or as text (" Wait" and "Wait" are two).

    Raises:
        ConfigError: none, one twice, an id outside the vocabulary, or a text that is written with several tokens.
    """
    text = token_text(lm.tokenizer)
    ids = [text.token_id(token) for token in tokens]
    if not ids or len(set(ids)) < len(ids) or min(ids) < 0 or max(ids) >= lm.vocab_size:
        raise ConfigError(
            f"a token set needs different tokens of {lm.source}, ids 0 to {lm.vocab_size - 1}; "
            f"got {list(tokens)}, which is {ids}"
        )
    return tuple(ids)


def teacher_forced(
    lm: LanguageModel,
    contexts: Sequence[Context],
    conditions: Sequence[Mixture],
    tokens: Sequence[str | int] | None = None,
    mean_norms: Mapping[Site, float] | None = None,
    seed: int = 0,
    batch_tokens: int = 8192,
) -> list[Forced]:
    """Log-odds of a token set and KL to the unsteered model, at positions of texts, under each condition.

    Args:
        contexts: texts, and where the next token is asked.
        conditions: what is done; None for nothing.
        tokens: the set, as ids or as text; None for the divergence alone, then there are no log-odds (nan).
        mean_norms: mean residual norm by site, for relative doses.
        seed: for operators that draw; every context has its own draws, the same under all conditions.
        batch_tokens: tokens of a pass, padding and what is attended to included.
    Returns:
        One per context.
    Raises:
        ConfigError: as `token_set` and `row_edits`, or a condition that edits nothing before the last asked position.
        AlignmentError: an id outside the vocabulary.
        ModelError: an edit that did not reach exactly the positions it should.
    """
    wanted = None if tokens is None else token_set(lm, tokens)
    check_contexts(lm, contexts)
    for edit in row_edits(lm, conditions, mean_norms, [seed] * len(conditions)):
        check_edits(edit, lm.model)
    sizes = [(len(conditions), len(context.at)) for context in contexts]
    found = [Forced(np.full(size, np.nan), np.full(size, np.nan)) for size in sizes]
    pieces, at = [context.piece() for context in contexts], [context.at for context in contexts]
    bar = progress(len(contexts), f"{len(conditions)} conditions in written texts", "text")
    with torch.inference_mode(), PackedLinears(lm.model).used(), bar:
        for group in forced_batches(lm, pieces, at, batch_tokens):
            cache, logits = asked_logits(lm, [pieces[i] for i in group], [at[i] for i in group], ())
            parts = torch.split(logits, [len(at[i]) for i in group])
            keep = [cache.stretch(row, 0, len(pieces[i].ids)) for row, i in enumerate(group)]
            plain = {i: _Plain(part, stretch) for i, part, stretch in zip(group, parts, keep, strict=True)}
            del cache
            seeds = {i: row_seed(seed, str(i), 0) for i in group}
            rows = _Rows.of(lm, contexts, conditions, mean_norms, seeds, plain)
            _fill(lm, rows, plain, wanted, found, batch_tokens)
            bar.update(len(group))
    measured = [each.kl if wanted is None else each.kl + each.log_odds for each in found]
    broken = [i for i, values in enumerate(measured) if not np.isfinite(values).all()]
    if broken:
        raise ModelError(f"the logits of context {broken[0]} are not finite; lower the dose, or compute in float32")
    return found


@dataclass(frozen=True, eq=False)
class _Plain:
    """The unsteered pass over one context."""

    logits: Tensor
    """(m, v)."""
    key_values: KeyValues

    def before(self, position: int) -> KeyValues:
        return [(keys[:, :position], values[:, :position]) for keys, values in self.key_values]


@dataclass(frozen=True, eq=False)
class _Rows:
    """All (context, condition) of a group, each from its first edited position on."""

    cells: list[tuple[int, int]]
    edits: list[RowEdits]
    pieces: list[Piece]
    at: list[list[int]]
    """Asked positions from there on; those before are as in the unsteered model."""

    @classmethod
    def of(
        cls,
        lm: LanguageModel,
        contexts: Sequence[Context],
        conditions: Sequence[Mixture],
        mean_norms: Mapping[Site, float] | None,
        seeds: Mapping[int, int],
        plain: Mapping[int, _Plain],
    ) -> _Rows:
        cells = [(i, c) for i in seeds for c in range(len(conditions))]
        edits = row_edits(lm, [conditions[c] for _, c in cells], mean_norms, [seeds[i] for i, _ in cells])
        pieces, at = [], []
        for row, (i, c) in enumerate(cells):
            context = contexts[i]
            first = _first(edits, row, context)
            if first is None:
                raise ConfigError(
                    f"condition {c} edits nothing at or before position {context.at[-1]} of context {i}, the last one "
                    "that is asked; change its scope, or ask later"
                )
            past = (plain[i].before(first),) if first else ()
            pieces.append(Piece(context.read, first, past, row, context.n_prompt))
            at.append([place for place in context.at if place >= first])
        return cls(cells, edits, pieces, at)


def _odds(logits: Tensor, tokens: Sequence[int] | None) -> FloatArray:
    if tokens is None:
        return np.full(len(logits), np.nan)
    odds: FloatArray = log_odds(logits, tokens).double().cpu().numpy()
    return odds


def _first(edits: Sequence[RowEdits], row: int, context: Context) -> int | None:
    """Where a row begins to differ, at the end where it need not; None where it should differ and does not."""
    end = len(context.read)
    first = min((edit.first_edited(row, context.read, context.n_prompt) for edit in edits), default=end)
    terms = [term for edit in edits for term in edit.terms]
    meant = any(term.pick[row] >= 0 and not term.scopes[row].conditional for term in terms)
    return None if first == end and meant else first


def _fill(
    lm: LanguageModel,
    rows: _Rows,
    plain: Mapping[int, _Plain],
    tokens: Sequence[int] | None,
    found: Sequence[Forced],
    batch_tokens: int,
) -> None:
    log_q = {i: each.logits.float().log_softmax(-1) for i, each in plain.items()}
    base = {i: _odds(each.logits, tokens) for i, each in plain.items()}
    for i, c in rows.cells:
        found[i].log_odds[c], found[i].kl[c] = base[i], 0.0
    running = [row for row, at in enumerate(rows.at) if at]
    pieces, at = [rows.pieces[row] for row in running], [rows.at[row] for row in running]
    for batch in forced_batches(lm, pieces, at, batch_tokens):
        _, logits = asked_logits(lm, [pieces[i] for i in batch], [at[i] for i in batch], rows.edits)
        cells = [rows.cells[running[i]] for i in batch]
        later = [len(at[i]) for i in batch]
        reference = torch.cat([log_q[i][len(log_q[i]) - count :] for (i, _), count in zip(cells, later, strict=True)])
        odds = _odds(logits, tokens)
        kl = kl_divergence(logits.float().log_softmax(-1), reference).double().cpu().numpy()
        ends = np.cumsum(later)
        for (i, c), count, end in zip(cells, later, ends, strict=True):
            found[i].log_odds[c, -count:], found[i].kl[c, -count:] = odds[end - count : end], kl[end - count : end]
    for row, piece in enumerate(rows.pieces):
        check_row(rows.edits, row, piece.ids, piece.n_prompt)
