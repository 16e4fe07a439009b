"""Memory for rows that grow at their right end, enter and leave: what stays where it is is not copied.

All rows end in the same column; a shorter row begins further to the right, and what is left of it is padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SPARE = 64
"""Columns to make room for at a time: copying then costs a few percent of what attention reads in between."""


class Room:
    """Rows (b, heads, t, width): a view into a larger tensor."""

    def __init__(self, fill: int = 0, spare: int = SPARE, by_column: bool = False) -> None:
        """Start with no rows.

        Args:
            fill: what stands in the padding.
            spare: least number of columns to make room for at a time.
            by_column: let neighbouring columns lie beside each other in memory, not neighbouring channels.
        """
        self.fill, self.spare, self.by_column = fill, spare, by_column
        self.rows = self._start = self._end = 0
        self._room: Tensor | None = None

    @property
    def columns(self) -> int:
        """Length t of the longest row."""
        return self._end - self._start

    @property
    def view(self) -> Tensor | None:
        """(b, heads, t, width), or None while nothing was ever put in."""
        return None if self._room is None else self._room[: self.rows, :, self._start : self._end]

    def append(self, new: Tensor, at: Tensor | None = None) -> Tensor:
        """Write new columns (b, heads, t, width) at the right end of every row; the view of all.

        Args:
            at: (t,) their places in the view, where only the device knows them: columns that are reserved. The
                view then has all of these, and keeps its shape and address; `took` counts them afterwards.
        """
        self.rows, count = new.shape[0], new.shape[2]
        if at is not None:
            assert self._room is not None
            return self._room[: self.rows, :, self._start :].index_copy_(2, at, new)
        room = self._with_room_for(new, self.rows, self.columns, count)
        room[: self.rows, :, self._end : self._end + count] = new
        self._end += count
        return room[: self.rows, :, self._start : self._end]

    def reserve(self, columns: int) -> int:
        """How many columns can be written at the right end without moving anything: at least as many as asked for."""
        view = self.view
        assert view is not None
        return self._with_room_for(view, self.rows, self.columns, columns).shape[2] - self._end

    def took(self, columns: int) -> None:
        """Count columns that were written at places of their own."""
        self._end += columns

    def enter(self, runs: Sequence[tuple[int, Sequence[Tensor]]]) -> None:
        """Add rows below those that are there, aligned at the right end.

        Args:
            runs: for each, how many rows, and the stretches (heads, t, width) that all of them hold, in order.
        """
        widest = max((sum(part.shape[1] for part in parts) for _, parts in runs), default=0)
        some = next((part for _, parts in runs for part in parts), None)
        first, self.rows = self.rows, self.rows + sum(count for count, _ in runs)
        if some is None and self._room is None:
            return
        like = self._room if some is None else some[None]
        assert like is not None
        room = self._with_room_for(like, self.rows, max(self.columns, widest), 0, first)
        for count, parts in runs:
            rows = room[first : first + count]
            column = self._end - sum(part.shape[1] for part in parts)
            if column:
                rows[:, :, :column] = self.fill
            for part in parts:
                rows[:, :, column : column + part.shape[1]] = part
                column += part.shape[1]
            first += count

    def leave(self, holes: Tensor, movers: Tensor, rows: int) -> None:
        """Keep the first `rows` rows, after the rows `movers` have taken the places of `holes`."""
        view = self.view
        if view is not None:
            view[holes] = view[movers]
        self.rows = rows

    def trim(self, columns: int) -> None:
        """Give up columns on the left that are padding in every row."""
        self._start = max(self._start, self._end - columns)

    def _with_room_for(self, like: Tensor, rows: int, columns: int, more: int, old_rows: int | None = None) -> Tensor:
        """The memory, with `columns` columns in view and `more` to their right; moved where it is too small."""
        room, old = self._room, self.view
        old = None if old is None else old[:old_rows]
        if room is None or rows > room.shape[0] or columns > self._end or self._end + more > room.shape[2]:
            room = self._made(like, rows, columns + max(more, self.spare))
            if old is not None:
                room[: old.shape[0], :, columns - old.shape[2] : columns] = old
            self._room, self._start, self._end = room, 0, columns
        elif columns > self.columns:
            room[:old_rows, :, self._end - columns : self._start] = self.fill
            self._start = self._end - columns
        return room

    def _made(self, like: Tensor, rows: int, columns: int) -> Tensor:
        _, heads, _, width = like.shape
        shape = (rows, heads, width, columns) if self.by_column else (rows, heads, columns, width)
        made = torch.full(shape, self.fill, dtype=like.dtype, device=like.device)
        return made.transpose(2, 3) if self.by_column else made
