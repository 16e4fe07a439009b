"""One operator over the rows of a batch: who gets which setting, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidir.records.scope import Scope
from multidir.steer.operators.base import Operator
from multidir.steer.scope import END, met, window
from multidir.steer.token_text import TokenText
from multidir.types import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class Term:
    """An operator, in float64 on the CPU, whose settings are shared by rows that get the same."""

    operator: Operator
    pick: IntArray
    """(b,) index of each row's setting; -1 for a row that is left as it is."""
    scopes: tuple[Scope, ...]
    """(b,)."""

    def used_scopes(self) -> set[Scope]:
        """Scopes of the rows to which something is done."""
        return {scope for scope, pick in zip(self.scopes, self.pick, strict=True) if pick >= 0}

    def reach(self, row: int, ids: Sequence[int], n_prompt: int, text: TokenText | None) -> BoolArray:
        """(n,) which positions of a sequence are edited in a row, as long as no gate closes.

        Raises:
            ConfigError: the scope selects nothing after a prompt of this length.
        """
        found = np.zeros(len(ids), dtype=bool)
        if self.pick[row] < 0:
            return found
        first, last = window(self.scopes[row], n_prompt)
        found[first:last] = True
        if self.scopes[row].by_tokens:
            places, tokens = torch.arange(len(ids))[None], torch.tensor(ids, dtype=torch.long)[None]
            found &= met(self.scopes[row], places, tokens, [n_prompt], text)[0].numpy()
        return found


class LiveTerm:
    """A term while it is hooked in, for the rows of one batch in their order."""

    def __init__(self, term: Term, operator: Operator, rows: IntArray, n_prompt: Sequence[int], device: torch.device):
        pick = term.pick[rows]
        self.operator = operator.take(torch.from_numpy(pick.clip(0)).to(device))
        scopes = [term.scopes[row] if chosen >= 0 else None for row, chosen in zip(rows, pick, strict=True)]
        bounds = [
            (END, END) if scope is None else window(scope, count) for scope, count in zip(scopes, n_prompt, strict=True)
        ]
        edges = torch.tensor(bounds, dtype=torch.long, device=device).reshape(-1, 2)
        self.first, self.last = edges[:, :1], edges[:, 1:]
        self.idle = bool((pick < 0).all())
        self.endless = bool((self.last == END).all())  # then the end of the window need not be looked at
        self.conditional = {
            scope: [row for row, other in enumerate(scopes) if other == scope]
            for scope in set(scopes)
            if scope is not None and scope.conditional
        }
        """Rows of each scope that positions alone do not decide."""

    def inside(self, places: Tensor) -> Tensor:
        """(b, t) positions within the rows' windows; never padding, never a row that is left as it is."""
        return places >= self.first if self.endless else (places >= self.first) & (places < self.last)
