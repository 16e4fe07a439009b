"""Edits while they are hooked into a model: the vectors on its device, and the count of what was edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ModelError
from multidir.models.language_model import LanguageModel
from multidir.models.positions import Positions
from multidir.steer.scope import END, window

if TYPE_CHECKING:
    from multidir.steer.edit import RowEdits


class LiveRowEdits:
    """The edits of one batch, in batch order; a single row of edits serves a batch of any size."""

    def __init__(
        self,
        edits: RowEdits,
        lm: LanguageModel,
        positions: Positions,
        rows: Sequence[int],
        n_prompt: Sequence[int] | None,
    ) -> None:
        self._edits, self._lm, self._positions = edits, lm, positions
        self._rows = np.asarray(rows, dtype=np.int64)
        self._scopes = [edits.scopes[row] for row in rows]
        self._add = edits.mixture(lm.dtype)[self._rows].to(lm.device)
        self._active = (edits.coefficients[self._rows] != 0).any(1)
        self._norms = np.linalg.norm(edits.coefficients[self._rows] @ edits.bank, axis=1)
        self._guess = n_prompt is None
        self._edited = torch.zeros(len(self._rows), dtype=torch.long, device=lm.device)
        self._set_windows([1] * len(self._rows) if n_prompt is None else n_prompt)

    def _set_windows(self, n_prompt: Sequence[int]) -> None:
        """Where each row's edits begin and end: nowhere in a row that nothing is added to, never in padding."""
        row_of = range(len(n_prompt)) if len(self._rows) == len(n_prompt) else [0] * len(n_prompt)
        bounds = [
            window(self._scopes[row], count) if self._active[row] else (END, END)
            for row, count in zip(row_of, n_prompt, strict=True)
        ]
        edges = torch.tensor(bounds, dtype=torch.long, device=self._add.device).reshape(-1, 2)
        self._first, self._last = edges[:, :1], edges[:, 1:]
        self._count_open()

    def _count_open(self) -> None:
        self._idle = not self._active.any()
        self._open = bool((self._last == END).all())  # then the end of the window need not be looked at

    def apply(self, hidden: Tensor) -> Tensor | None:
        """The hook: edit (b, t, d) where the current positions are in scope."""
        if self._idle:
            return None
        places = self._positions.current
        if places.shape != hidden.shape[:2] or len(self._rows) not in (1, len(places)):
            raise ModelError(
                f"edits at {self._edits.site} are for {len(self._rows)} rows, but the model runs "
                f"{tuple(hidden.shape[:2])} (batch, tokens) with positions for {tuple(places.shape)}; "
                "run the whole model, one edit row per batch row"
            )
        if self._guess and self._positions.fresh:
            self._set_windows((places.max(1).values + 1).tolist())
        chosen = places >= self._first if self._open else (places >= self._first) & (places < self._last)
        self._edited += chosen.sum(1) if len(self._rows) == len(places) else chosen.sum()
        return torch.where(chosen[..., None], hidden + self._add[:, None], hidden)

    def keep(self, rows: Tensor) -> None:
        """From now on the batch has only these of its rows, in this order."""
        self.settle()
        index = rows.to("cpu").numpy()
        self._rows = self._rows[index]
        self._scopes = [self._scopes[i] for i in index]
        self._active = self._active[index]
        self._norms = self._norms[index]
        self._add, self._first, self._last, self._edited = (
            tensor[rows] for tensor in (self._add, self._first, self._last, self._edited)
        )
        self._count_open()

    def join(self, rows: Sequence[int], n_prompt: Sequence[int]) -> None:
        """These edit rows enter at the end of the batch."""
        self.settle()
        new = LiveRowEdits(self._edits, self._lm, self._positions, rows, n_prompt)
        self._rows = np.concatenate([self._rows, new._rows])
        self._scopes += new._scopes
        self._active = np.concatenate([self._active, new._active])
        self._norms = np.concatenate([self._norms, new._norms])
        self._add, self._first, self._last, self._edited = (
            torch.cat(pair)
            for pair in (
                (self._add, new._add),
                (self._first, new._first),
                (self._last, new._last),
                (self._edited, new._edited),
            )
        )
        self._count_open()

    def settle(self) -> None:
        """Add what was counted to the receipt."""
        counted = self._edited.cpu().numpy()
        np.add.at(self._edits.edited, self._rows, counted)
        np.add.at(self._edits.edit_norm_sum, self._rows, counted * self._norms)
        self._edited = torch.zeros_like(self._edited)
