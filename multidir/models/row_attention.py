"""Attention of one new token per row, to what the row holds of its own and to a beginning that it shares with others.

    softmax([q K_prefix, q K_own]) [V_prefix, V_own]     computed in two parts and put together exactly

A common beginning is kept once and read once per step; the parts are joined by their maxima and sums, as flash
attention joins its blocks. transformers calls it by a name that is registered while it is in use; what rows hold of
their own is in the cache, whose keys are best laid out column by column (`RoomyCache`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from multidir.models.cache import KeyValues

_Part = tuple[Tensor, Tensor, Tensor]
"""Maximum of the scores, sum of their exponentials above it, and the values weighted by these."""

_LOW = -1e30
"""Stands for the maximum where every score is masked: finite, so that no infinity is subtracted from another."""


def is_plain(model: PreTrainedModel) -> bool:
    """Whether attention of this model is plain enough to be computed here.

    It is not where blocks see a window only, where scores are capped, or where the model does not let its
    attention be chosen.
    """
    config: Any = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        kinds == {"full_attention"}
        and (hasattr(config, "layer_types") or getattr(config, "sliding_window", None) is None)
        and getattr(config, "attn_logit_softcapping", None) is None
        and bool(getattr(model, "_supports_attention_backend", False))
    )


class RowAttention:
    """Attention over what each row has of its own, and over prefixes that several rows share, if there are any."""

    def __init__(self) -> None:
        self.hidden: Tensor | None = None
        """(b, 1, 1, t) bool: columns of the cache that do not belong to the row; None: all do. Set before a step."""
        self._count = 0
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._outside: Tensor | None = None

    def hold(self, prefixes: Sequence[KeyValues], device: torch.device) -> list[KeyValues]:
        """Keep these prefixes in place of those that were kept before; the same as parts of what is kept."""
        lengths = [prefix[0][0].shape[1] if prefix else 0 for prefix in prefixes]
        self._count, blocks = len(prefixes), max(len(prefix) for prefix in prefixes)
        self._layers = [
            (_stacked([p[i][0] for p in prefixes if p], lengths), _stacked([p[i][1] for p in prefixes if p], lengths))
            for i in range(blocks)
        ]
        columns, known = torch.arange(max(lengths), device=device), torch.tensor(lengths, device=device)
        self._outside = (columns >= known[:, None])[:, None, None] if min(lengths) < max(lengths) else None
        return [
            [(keys[row, :, :length], values[row, :, :length]) for keys, values in self._layers]
            for row, length in enumerate(lengths)
        ]

    def clear(self) -> None:
        """Let all go."""
        self._count, self._layers, self._outside = 0, [], None

    def assign(self, prefix_of_row: Sequence[int], device: torch.device) -> None:
        """Say which prefix each row of the batch has."""
        members: dict[int, list[int]] = {prefix: [] for prefix in range(self._count)}
        for row, prefix in enumerate(prefix_of_row):
            members[prefix].append(row)
        widest = max(len(rows) for rows in members.values())
        table = [rows + [0] * (widest - len(rows)) for rows in members.values()]
        place = {row: p * widest + i for p, rows in members.items() for i, row in enumerate(rows)}
        self._members = torch.tensor(table, device=device)
        self._place = torch.tensor([place[row] for row in range(len(prefix_of_row))], device=device)

    @contextmanager
    def used_by(self, model: PreTrainedModel) -> Iterator[None]:
        """Let the model attend in this way inside the `with`."""
        name, before = f"multidir_prefix_{id(self)}", model.config._attn_implementation
        AttentionInterface.register(name, self)
        try:
            model.set_attn_implementation(name)
            yield
        finally:
            model.set_attn_implementation(before)
            AttentionInterface._global_mapping.pop(name, None)

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        _mask: Tensor | None,
        scaling: float | None = None,
        **_kwargs: Any,
    ) -> tuple[Tensor, None]:
        """One new token per row: query (b, heads, 1, width), key and value (b, kv heads, t, width)."""
        batch, heads, _, width = query.shape
        scaled = query * (width**-0.5 if scaling is None else scaling)
        own = scaled.reshape(batch, key.shape[1], heads // key.shape[1], width)
        if not self._layers:
            weights = torch.softmax(_scores(own, key, self.hidden), -1).to(value.dtype)
            return torch.matmul(weights, value).reshape(batch, 1, heads, -1), None
        _, total, found = _joined(_part(own, key, value, self.hidden), self._over_prefix(own, module.layer_idx))
        return (found / total).to(query.dtype).reshape(batch, 1, heads, -1), None

    def _over_prefix(self, own: Tensor, layer: Any) -> _Part:
        keys, values = self._layers[layer]
        prefixes, members = self._members.shape
        _, kv_heads, group, width = own.shape
        together = own[self._members].transpose(1, 2).reshape(prefixes, kv_heads, members * group, width)
        top, total, found = (
            each.view(prefixes, kv_heads, members, group, -1).transpose(1, 2).flatten(0, 1)[self._place]
            for each in _part(together, keys, values, self._outside)
        )
        return top, total, found


def _scores(query: Tensor, key: Tensor, hidden: Tensor | None) -> Tensor:
    scores = torch.matmul(query, key.transpose(2, 3)).float()
    return scores if hidden is None else scores.masked_fill(hidden, float("-inf"))


def _part(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None) -> _Part:
    """Attention over some of the keys."""
    scores = _scores(query, key, hidden)
    top = scores.amax(-1, keepdim=True).clamp(min=_LOW)
    weights = torch.exp(scores - top)
    return top, weights.sum(-1, keepdim=True), torch.matmul(weights.to(value.dtype), value).float()


def _joined(one: _Part, other: _Part) -> _Part:
    """Attention over the keys of both."""
    top = torch.maximum(one[0], other[0])
    weight, weight_other = torch.exp(one[0] - top), torch.exp(other[0] - top)
    total, found = (weight * one[i] + weight_other * other[i] for i in (1, 2))
    return top, total, found


def _stacked(parts: Sequence[Tensor], lengths: Sequence[int]) -> Tensor:
    """(p, heads, t, width) of one (heads, t_i, width) for every length that is not 0, filled up with zeros."""
    made = parts[0].new_zeros(len(lengths), parts[0].shape[0], max(lengths), parts[0].shape[2])
    rest = iter(parts)
    for row, length in zip(made, lengths, strict=True):
        if length:
            row[:, :length] = next(rest)
    return made
