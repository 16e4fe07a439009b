"""A key-value cache with room to grow, whose rows can leave without copying those that stay.

The cache of transformers copies everything it holds for every new token; this one writes the new token
into memory that is already there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

SPARE = 64
"""Least number of tokens to make room for at a time; more when the sequences are long."""


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one block: views into larger tensors, (b, heads, t, width of a head)."""

    _rooms: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rooms = self._rooms or (None, None)
        key_room, keys = _appended(rooms[0], self.keys, key_states)
        value_room, values = _appended(rooms[1], self.values, value_states)
        self._rooms, self.keys, self.values = (key_room, value_room), keys, values
        return keys, values

    def fill(self, holes: Tensor, movers: Tensor, rows: int) -> None:
        """Keep the first `rows` rows, after the rows `movers` have taken the places of `holes`."""
        if self.keys is None or self.values is None:
            return
        for states in (self.keys, self.values):
            states[holes] = states[movers]
        self.keys, self.values = self.keys[:rows], self.values[:rows]


def _appended(room: Tensor | None, old: Tensor | None, new: Tensor) -> tuple[Tensor, Tensor]:
    """The memory and the view of it that ends with the new tokens; new memory where the old has no place."""
    rows, seen = new.shape[0], old.shape[-2] if old is not None and old.numel() else 0
    total = seen + new.shape[-2]
    if room is None or old is None or not _is_start_of(old, room) or total > room.shape[-2] or rows > room.shape[0]:
        room = new.new_empty(*new.shape[:2], total + max(SPARE, total // 2), new.shape[-1])
        if old is not None and seen:
            room[:, :, :seen] = old
    room[:rows, :, seen:total] = new
    return room, room[:rows, :, :total]


def _is_start_of(view: Tensor, room: Tensor) -> bool:
    return view.data_ptr() == room.data_ptr() and view.stride() == room.stride()


def roomy_cache(model: PreTrainedModel) -> DynamicCache:
    """An empty cache for this model; its blocks with full attention are roomy, others are as transformers has them."""
    cache = DynamicCache(config=model.config)
    make: Any = RoomyLayer
    cache.layers = [make() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def drop_rows(cache: DynamicCache, gone: Tensor) -> Tensor:
    """Let rows leave the cache; the last ones move into their places.

    Args:
        cache: of a batch of b rows.
        gone: (b,) bool.
    Returns:
        Old index of each row that is left, in the new order.
    """
    left = int((~gone).sum())
    stay = torch.arange(left, device=gone.device)
    holes = gone[:left].nonzero().squeeze(1)
    movers = (~gone[left:]).nonzero().squeeze(1) + left
    stay[holes] = movers
    layers: list[Any] = cache.layers
    for layer in layers:
        if isinstance(layer, RoomyLayer):
            layer.fill(holes, movers, left)
        else:
            layer.batch_select_indices(stay)
    return stay
