"""Edits while they are hooked into a model: the vectors on its device, and the count of what was edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ModelError
from multidir.models.load import LanguageModel
from multidir.models.positions import Positions
from multidir.steer.scope import window

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
        self._edits, self._positions = edits, positions
        self._rows = np.asarray(rows, dtype=np.int64)
        self._scopes = [edits.scopes[row] for row in rows]
        self._add = edits.mixture(lm.dtype)[self._rows].to(lm.device)
        active = (edits.coefficients[self._rows] != 0).any(1)
        self._active = torch.as_tensor(active, device=lm.device)
        self._idle = not active.any()
        self._guess = n_prompt is None
        self._set_windows(n_prompt)
        self._edited = torch.zeros(len(self._rows), dtype=torch.long, device=lm.device)

    def _set_windows(self, n_prompt: Sequence[int] | None) -> None:
        counts = [1] * len(self._scopes) if n_prompt is None else n_prompt
        scopes = self._scopes if len(self._scopes) == len(counts) else self._scopes * len(counts)
        bounds = [window(scope, count) for scope, count in zip(scopes, counts, strict=True)]
        edges = torch.tensor(bounds, dtype=torch.long, device=self._add.device).reshape(-1, 2)
        self._first, self._last = edges[:, :1], edges[:, 1:]

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
        chosen = self._active[:, None] & (places >= self._first) & (places < self._last) & (places >= 0)
        self._edited = self._edited + (chosen.sum(1) if len(self._rows) == len(places) else chosen.sum())
        return torch.where(chosen[..., None], hidden + self._add[:, None], hidden)

    def keep(self, rows: Tensor) -> None:
        """From now on the batch has only these of its rows, in this order."""
        self.settle()
        index = rows.to("cpu").numpy()
        self._rows = self._rows[index]
        self._scopes = [self._scopes[i] for i in index]
        self._add, self._active, self._first, self._last, self._edited = (
            t[rows] for t in (self._add, self._active, self._first, self._last, self._edited)
        )
        self._idle = not bool(self._active.any())

    def settle(self) -> None:
        """Add what was counted to the receipt."""
        np.add.at(self._edits.edited, self._rows, self._edited.cpu().numpy())
        self._edited = torch.zeros_like(self._edited)
