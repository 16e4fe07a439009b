"""Which token positions a scope covers: a function of absolute positions and token ids, not of the pass they run in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from multidir.errors import ConfigError, ModelError
from multidir.models.positions import PAD
from multidir.records.scope import Scope
from multidir.steer.token_text import TokenText

END = torch.iinfo(torch.long).max
"""Position after every token."""


def window(scope: Scope, n_prompt: int) -> tuple[int, int]:
    """Half-open range of absolute positions outside of which a scope edits nothing.

    Raises:
        ConfigError: the range is empty for a prompt of this length.
    """
    part = {"all": (0, END), "prompt": (0, n_prompt), "generated": (n_prompt - 1, END), "decoded": (n_prompt, END)}
    first, last = part[scope.part]
    first, last = max(first, scope.begin), last if scope.end is None else min(last, scope.end)
    if first >= last:
        raise ConfigError(f"scope {scope} selects nothing after a prompt of {n_prompt} tokens; change its window")
    return first, last


def met(scope: Scope, places: Tensor, tokens: Tensor, n_prompt: Sequence[int], text: TokenText | None) -> Tensor:
    """Where the conditions of a scope on token ids hold; its window and its gate are left to the caller.

    Args:
        places: (m, t) absolute positions of the current pass.
        tokens: (m, n) ids of each row so far, -1 for none, of which the last t are those of the current pass.
        n_prompt: m prompt lengths.
        text: of the vocabulary.
    Returns:
        (m, t) bool.
    Raises:
        ModelError: ids of earlier positions are not known.
    """
    assert text is not None  # `RowEdits` sees to it
    whole = _positions(scope, places, tokens)
    found = places >= 0
    if scope.from_token is not None:
        bounds = torch.tensor([window(scope, count) for count in n_prompt], device=places.device)
        hit = (tokens == text.token_id(scope.from_token)) & (whole >= bounds[:, :1]) & (whole < bounds[:, 1:])
        found &= places >= torch.where(hit, whole, END).amin(1, keepdim=True)
    if scope.from_text is not None or scope.sentence is not None:
        for row, ids in enumerate(tokens.tolist()):
            known = [token for token in ids if token >= 0]
            found[row] = _told(scope, known, places[row], found[row], n_prompt[row], text)
    return found


def _told(scope: Scope, ids: Sequence[int], places: Tensor, found: Tensor, n_prompt: int, text: TokenText) -> Tensor:
    """(t,) where the text of a row up to a position meets the conditions of its scope, too."""
    if scope.from_text is not None:
        first, last = window(scope, n_prompt)
        complete = text.completes(ids, scope.from_text, first)
        found &= places >= (END if complete is None or complete >= last else complete)
    if scope.sentence is not None:
        of = text.begins_sentence if scope.sentence == "start" else text.ends_sentence
        at = found.nonzero().squeeze(1)
        found[at] = torch.tensor([of(ids, place) for place in places[at].tolist()], dtype=torch.bool).to(found.device)
    return found


def _positions(scope: Scope, places: Tensor, tokens: Tensor) -> Tensor:
    """(m, n) absolute position of every token of a row; -1 where there is none."""
    there = tokens >= 0
    whole = torch.where(there, there.cumsum(1) - 1, PAD)
    now = whole[:, whole.shape[1] - places.shape[1] :]
    if not torch.equal(torch.where(places >= 0, now, PAD), places):  # a row that has ended may still have tokens
        raise ModelError(
            f"scope {scope} depends on the tokens so far, of which some were run before or are not known; "
            "run every sequence from its first token on inside"
        )
    return whole
