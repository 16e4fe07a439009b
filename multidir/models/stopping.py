"""Telling for every row of a batch whether its text has become a loop, one token at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from multidir.records.stopping import LoopRule


class LoopWatch:
    """For each row and period p: how many tokens in a row equalled the one p tokens before."""

    def __init__(self, rule: LoopRule, device: torch.device) -> None:
        self._rule = rule
        periods = range(1, rule.max_period + 1 if rule else 1)
        self._enough = torch.tensor([rule.needed(p) - p for p in periods], dtype=torch.long, device=device)
        self._recent = torch.empty(0, len(periods), dtype=torch.long, device=device)
        self._run = torch.empty(0, len(periods), dtype=torch.long, device=device)

    def enter(self, rows: int) -> None:
        """Rows that have written nothing yet, at the end of the batch."""
        shape = (rows, len(self._enough))
        self._recent = torch.cat([self._recent, self._recent.new_full(shape, -1)])
        self._run = torch.cat([self._run, self._run.new_zeros(shape)])

    def keep(self, rows: Tensor) -> None:
        """From now on the batch has only these of its rows, in this order."""
        self._recent, self._run = self._recent[rows], self._run[rows]

    def see(self, tokens: Tensor) -> Tensor:
        """Take the next token (b,) of every row; (b,) bool, True where it closes a loop."""
        if not self._rule:
            return torch.zeros_like(tokens, dtype=torch.bool)
        same = self._recent == tokens[:, None]
        self._run.add_(1).mul_(same)
        self._recent.copy_(torch.cat([tokens[:, None], self._recent[:, :-1]], 1))
        return (self._run >= self._enough).any(1)
