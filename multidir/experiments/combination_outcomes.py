"""Measures the cells of a combination study on a model and writes them as an outcomes table, as a user would bring it.

Two outcomes: whole texts (`rollouts`), or the next sentence after fixed texts (`next`). Everything is on disk as it
finishes, and nothing is made twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multidir.experiments.combination_cells import StudyCell
from multidir.experiments.next_sentences import NextSentences, by_cell, read_next
from multidir.experiments.outcomes_table import PREFIX
from multidir.experiments.plants import biased, plant_cells, shift
from multidir.experiments.steering import Bench, run_conditions
from multidir.records.outcome import Condition, Outcome
from multidir.steer.forced import Context

Flags = Mapping[tuple[str, str], tuple[float, float]]
"""Key of a condition and prompt -> whether its text loops and is coherent, 0 or 1, nan for unknown."""


@dataclass(frozen=True)
class Measuring:
    """A target model with everything that measuring a cell on it needs."""

    bench: Bench
    names: tuple[str, ...]
    """Of the directions."""
    categories: Mapping[str, str]
    """Of the prompts."""
    tokens: tuple[int, ...]
    """With which a sentence of the behaviour begins."""
    folder: Path
    """Where outcomes are kept."""
    draws: int
    """Rollouts, or draws of the next sentence, per prompt and cell."""
    batch_tokens: int
    contexts: Mapping[str, Context] | None = None
    """Texts whose next sentences are asked; none: rollouts are written."""

    def table(self, cells: Sequence[StudyCell]) -> pd.DataFrame:
        """Outcomes of cells with edits, one row per rollout."""
        if self.contexts is None:
            return self._frame(self._texts(cells, self.bench.rollouts))
        flags = self._flags([cell for cell in cells if not cell.control])
        return self._frame(self._drawn(cells, self._read(cells), flags))

    def plants(self) -> pd.DataFrame:
        """Outcomes of the known answers, and of the unsteered cell that they are compared with."""
        zero = StudyCell("", (0.0,) * len(self.names))
        cells = plant_cells(len(self.names))
        if self.contexts is not None:
            unsteered = self._read([zero])
            every = [replace(row, key=c.condition(self._role).key) for c in (zero, *cells) for row in unsteered]
            return self._frame(self._drawn([zero, *cells], every, {}))
        rows = list(self._texts([zero], self.bench.rollouts))
        for cell in cells:
            with biased(self.bench.lm, self.tokens, shift(cell.control, cell.doses)):
                rows += self._texts([cell], self.bench.rollouts, "plants.jsonl")
        return self._frame(rows)

    @property
    def _role(self) -> str:
        return self.bench.lm.role

    def _read(self, cells: Sequence[StudyCell]) -> list[NextSentences]:
        parts = (self.tokens, self.bench.mean_norms, self.bench.seed, self.batch_tokens)
        return read_next(self.bench.lm, self.contexts or {}, cells, *parts, self.folder / f"next-{self._role}.jsonl")

    def _outcomes(self, cells: Sequence[StudyCell], rollouts: int, file: str) -> list[Outcome]:
        wanted: dict[Condition, Any] = {cell.condition(self._role): cell.edits or None for cell in cells}
        return run_conditions(replace(self.bench, rollouts=rollouts), wanted, self.folder / file)

    def _texts(
        self, cells: Sequence[StudyCell], rollouts: int, file: str = "outcomes.jsonl"
    ) -> Iterator[dict[str, Any]]:
        place = {cell.condition(self._role): cell for cell in cells}
        for o in self._outcomes(cells, rollouts, file):
            n, y = (np.nan, np.nan) if o.n_sentences is None else (o.n_sentences, o.n_backtracks)
            yield self._row(place[o.condition], o.prompt_id, o.rollout, n, y, self._flag(o))

    def _flags(self, cells: Sequence[StudyCell]) -> Flags:
        """Loops and coherence of one text per prompt."""
        found = self._outcomes(cells, 1, "outcomes.jsonl") if cells else []
        return {(o.condition.key, o.prompt_id): self._flag(o) for o in found}

    def _flag(self, o: Outcome) -> tuple[float, float]:
        loops = o.stopped == "loop" or o.longest_run > self.bench.scorer.scoring.gate.max_run
        return float(loops), np.nan if o.coherent is None else float(o.coherent)

    def _drawn(
        self, cells: Sequence[StudyCell], found: Iterable[NextSentences], flags: Flags
    ) -> Iterator[dict[str, Any]]:
        rows = by_cell(found)
        for cell in cells:
            key = cell.condition(self._role).key
            for row in rows[key]:
                flag = flags.get((key, row.prompt_id), (np.nan, np.nan))
                counts = row.draw(self.draws, self.bench.seed, shift(cell.control, cell.doses))
                for rollout, count in enumerate(counts.tolist()):
                    yield self._row(cell, row.prompt_id, rollout, len(row.log_odds), count, flag)

    def _row(
        self, cell: StudyCell, prompt: str, rollout: int, n: float, y: float | None, flag: tuple[float, float]
    ) -> dict[str, Any]:
        doses = {f"{PREFIX}{name}": dose for name, dose in zip(self.names, cell.doses, strict=True)}
        facts = {"prompt": prompt, "rollout": rollout, "category": self.categories[prompt], **doses}
        facts |= {"control": cell.control, "model": self._role}
        return {**facts, "sentences": n, "backtracks": y, "loop": flag[0], "coherent": flag[1]}

    def _frame(self, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
        # an outcome that nobody looked at anywhere is no column
        return pd.DataFrame(rows).dropna(axis=1, how="all")
