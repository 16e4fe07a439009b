"""A key-value cache whose rows enter, grow and leave in place.

The cache of transformers copies everything it holds for every new token; this one writes the new token
into memory that is already there. Blocks with sliding windows keep all their tokens, so that rows of any age
can stand side by side; their mask sees to the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DummyLayer, DynamicLayer, DynamicSlidingWindowLayer

from multidir.errors import ModelError
from multidir.models.room import SPARE, Room

KeyValues = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of a stretch of one row's tokens, for every block: (heads, t, width of a head) each."""


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one block, (b, heads, t, width of a head), in rooms of their own."""

    def __init__(self, spare: int = SPARE, by_column: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.at: Tensor | None = None
        """(1,) where the next token is written, while only the device knows."""
        self.rooms = Room(spare=spare, by_column=by_column), Room(spare=spare)

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens and return all."""
        keys, values = self.rooms
        self.keys, self.values = keys.append(key_states, self.at), values.append(value_states, self.at)
        self.is_initialized = True
        return self.keys, self.values

    def show(self) -> None:
        """Let transformers see what the rooms hold now."""
        self.keys, self.values = (room.view for room in self.rooms)
        self.is_initialized = self.keys is not None


class RoomyCache(DynamicCache):
    """The keys and values of a batch in which every row ends in the same column."""

    layers: list[Any]

    def __init__(self, model: PreTrainedModel, spare: int = SPARE, keys_by_column: bool = False) -> None:
        """Make an empty cache for this model.

        Args:
            spare: least number of columns to make room for at a time.
            keys_by_column: lay keys out as a product with one query reads them fastest.
        Raises:
            ModelError: the model has blocks that remember in another way than by keys and values.
        """
        super().__init__(config=model.config)
        odd = {type(each).__name__ for each in self.layers} - {
            kind.__name__ for kind in (DynamicLayer, DynamicSlidingWindowLayer, DummyLayer)
        }
        if odd:
            raise ModelError(
                f"{type(model).__name__} has blocks whose memory is not keys and values ({', '.join(sorted(odd))}); "
                "generation in batches is made for attention only"
            )
        self.layers = [
            each if isinstance(each, DummyLayer) else RoomyLayer(spare, keys_by_column) for each in self.layers
        ]
        self.rooms = [room for each in self.layers if isinstance(each, RoomyLayer) for room in each.rooms]

    @property
    def columns(self) -> int:
        """Tokens of the longest row."""
        return self.rooms[0].columns

    def reserve(self, columns: int) -> int:
        """As `Room.reserve`."""
        return min(room.reserve(columns) for room in self.rooms)

    def write_at(self, at: Tensor) -> None:
        """From now on write tokens at this place (1,) of what is reserved."""
        for each in self.layers:
            if isinstance(each, RoomyLayer):
                each.at = at

    def took(self, columns: int) -> None:
        """Count what was written in this way, and go on at the right end."""
        for each in self.layers:
            if isinstance(each, RoomyLayer):
                each.at = None
        for room in self.rooms:
            room.took(columns)
        self._show()

    def enter(self, rows: Sequence[Sequence[KeyValues]]) -> None:
        """Add rows at the end of the batch.

        Args:
            rows: for each, the stretches of its tokens in order; rows that share them may give the same objects.
        """
        runs = [
            (len(list(same)), stretches) for stretches, same in groupby(rows, key=lambda stretches: _Same(stretches))
        ]
        for index, room in enumerate(self.rooms):
            block, part = divmod(index, 2)
            room.enter([(count, [kv[block][part] for kv in key.stretches if kv]) for count, key in runs])
        self._show()

    def leave(self, holes: Tensor, movers: Tensor, rows: int) -> None:
        """Keep the first `rows` rows, after the rows `movers` have taken the places of `holes`."""
        for room in self.rooms:
            room.leave(holes, movers, rows)
        self._show()

    def trim(self, columns: int) -> None:
        """Give up columns on the left that are padding in every row."""
        for room in self.rooms:
            room.trim(columns)
        self._show()

    def stretch(self, row: int, first: int, last: int) -> KeyValues:
        """A copy of the columns first to last of one row."""
        parts = [room.view[row, :, first:last].clone() for room in self.rooms if room.view is not None]
        return list(zip(parts[::2], parts[1::2], strict=True))

    def _show(self) -> None:
        for each in self.layers:
            if isinstance(each, RoomyLayer):
                each.show()


class _Same:
    """Equal to another one when both hold the very same stretches."""

    def __init__(self, stretches: Sequence[KeyValues]) -> None:
        self.stretches = stretches

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and [*map(id, self.stretches)] == [*map(id, other.stretches)]

    __hash__ = None  # type: ignore[assignment]


def moves(gone: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How rows close up with the fewest copies: the last ones take the places of those that go.

    Args:
        gone: (b,) bool.
    Returns:
        Old index of each row that is left, in the new order; the places that are filled; and the rows that fill them.
    """
    left = int((~gone).sum())
    stay = torch.arange(left, device=gone.device)
    holes = gone[:left].nonzero().squeeze(1)
    movers = (~gone[left:]).nonzero().squeeze(1) + left
    stay[holes] = movers
    return stay, holes, movers
