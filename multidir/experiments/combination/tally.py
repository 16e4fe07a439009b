"""Counts by prompt and cell: what the analysis of a combination reads, from a table or from a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from multidir.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of one model's rollouts. Every array of counts has one row per prompt and one column per cell.

    A rollout that loops or is not coherent counts with all its sentences and without its backtracks (the outcome is
    *coherent and backtracked*): leaving it out would select on what steering did.
    """

    directions: tuple[str, ...]
    doses: FloatArray
    """(c, k) float64. Dose of each direction in each cell."""
    controls: tuple[str, ...]
    """(c,) control that a cell belongs to; empty for the directions themselves."""
    prompts: tuple[str, ...]
    y: FloatArray
    """(m, c) float64. Backtracking sentences."""
    n: FloatArray
    """(m, c) float64. Sentences."""
    half_y: FloatArray
    """(m, c) float64. Backtracking sentences in every other rollout, for checks on independent halves."""
    half_n: FloatArray
    """(m, c) float64. Sentences in every other rollout."""
    rollouts: FloatArray
    """(m, c) float64. Rollouts scored."""
    loops: FloatArray | None = None
    """(m, c) float64. Rollouts that loop; None when nobody looked."""
    incoherent: FloatArray | None = None
    """(m, c) float64. Rollouts that are not coherent; None when nobody looked."""
    categories: tuple[str, ...] | None = None
    """(m,) category of each prompt."""

    def cells(self, control: str = "") -> list[int]:
        """Indices of the cells of one control; the directions themselves by default."""
        return [i for i, name in enumerate(self.controls) if name == control]

    def kinds(self, prefix: str) -> list[str]:
        """Controls that are `prefix` or start with `prefix:`, in order."""
        found = {c for c in self.controls if c == prefix or c.startswith(f"{prefix}:")}
        return sorted(found, key=lambda c: (len(c), c))

    def name(self, cell: int) -> str:
        """`hesitation 1 + mistake 0.5`, or `unsteered`."""
        parts = [f"{name} {dose:g}" for name, dose in zip(self.directions, self.doses[cell], strict=True) if dose]
        return " + ".join(parts) or "unsteered"

    def prompts_in(self, category: str) -> BoolArray:
        """(m,) which prompts are of a category."""
        return np.array([c == category for c in self.categories or ()], dtype=bool)

    def only(self, prompts: BoolArray) -> Tally:
        """The same table with the counts of all other prompts taken out; every prompt keeps its row."""
        keep = prompts[:, None].astype(np.float64)
        return replace(
            self,
            y=self.y * keep,
            n=self.n * keep,
            half_y=self.half_y * keep,
            half_n=self.half_n * keep,
            rollouts=self.rollouts * keep,
        )

    def take(self, cells: IntArray | Sequence[int]) -> Tally:
        """The same prompts in some cells only."""
        index = np.asarray(cells, dtype=np.intp)

        def part(a: FloatArray | None) -> FloatArray | None:
            return None if a is None else a[:, index]

        return replace(
            self,
            doses=self.doses[index],
            controls=tuple(self.controls[i] for i in index),
            y=self.y[:, index],
            n=self.n[:, index],
            half_y=self.half_y[:, index],
            half_n=self.half_n[:, index],
            rollouts=self.rollouts[:, index],
            loops=part(self.loops),
            incoherent=part(self.incoherent),
        )

    def of_control(self, control: str) -> Tally:
        """The cells of one control as if its vectors were the real ones, with the cells that it shares with them.

        Shared are the unsteered cell and, for `beside:NAME`, every cell without NAME.
        """
        replaced = [d == control.partition(":")[2] for d in self.directions]
        if not any(replaced):
            replaced = [True] * len(self.directions)
        own = self.cells(control)
        there = {tuple(self.doses[i]) for i in own}
        shared = [i for i in self.cells() if not self.doses[i][replaced].any() and tuple(self.doses[i]) not in there]
        found = self.take([*shared, *own])
        return replace(found, controls=("",) * len(found.controls))
