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

from multidir.experiments.combination.outcomes_table import PREFIX
from multidir.experiments.protocol.cells import Doses, StudyCell
from multidir.experiments.protocol.design import Size
from multidir.experiments.protocol.next_sentences import Asked, NextSentences, by_cell, read_next
from multidir.experiments.protocol.plants import biased, plant_cells, shift
from multidir.experiments.protocol.standing import Stands, pattern
from multidir.experiments.steering.bench import Bench, run_conditions
from multidir.records.outcome import Condition, Outcome
from multidir.types import BoolArray, FloatArray

DRAWS = 256
"""Times that every next sentence is drawn for one row of the table: places are few, and drawing costs little."""
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
    asked: Mapping[str, Asked]
    """By prompt, a text that is there already, and where its next sentence is asked."""
    stands: Stands | None
    """What stands at these places; None where nobody says."""
    size: Size
    batch_tokens: int
    prefix: str = ""
    """Before the names of its files."""
    plant_size: float = 1.0
    """How many times larger than in simulated tables known answers are planted."""

    def table(self, cells: Sequence[StudyCell]) -> pd.DataFrame:
        """Outcomes of cells with edits, one row per rollout, or per rollout and what stands at its places."""
        if self.size.outcome == "rollouts":
            return self._frame(self._texts(cells, self.size.rollouts))
        flags = self._flags([cell for cell in cells if not cell.control])
        return self._frame(self._drawn(cells, self._read(cells), flags))

    def next_by_cell(self, cells: Sequence[StudyCell]) -> dict[Doses, list[NextSentences]]:
        """By doses of a cell, the next sentences of every text, in the order of `asked`."""
        found = by_cell(self._read(cells))
        return {cell.doses: found[cell.condition(self._role).key] for cell in cells}

    def texts_by_cell(self, cells: Sequence[StudyCell]) -> dict[Doses, list[Outcome]]:
        """By doses of a cell, one whole text of every prompt."""
        found: dict[Condition, list[Outcome]] = {}
        for outcome in self._outcomes(cells, 1, "outcomes.jsonl"):
            found.setdefault(outcome.condition, []).append(outcome)
        return {cell.doses: found[cell.condition(self._role)] for cell in cells}

    def free(self, directions: Sequence[int]) -> dict[str, BoolArray]:
        """By prompt, (m,) the places at which none of these directions stands; all where nobody says."""
        if self.stands is None:
            return {name: np.ones(len(each.before), dtype=bool) for name, each in self.asked.items()}
        return {name: np.asarray((rows[:, list(directions)] == 0).all(axis=1)) for name, rows in self.stands.items()}

    def plants(self) -> pd.DataFrame:
        """Outcomes of the known answers, and of the unsteered cell that they are compared with."""
        zero = StudyCell("", (0.0,) * len(self.names))
        cells = plant_cells(len(self.names))
        if self.size.outcome == "next":
            unsteered = self._read([zero])
            every = [replace(row, key=c.condition(self._role).key) for c in (zero, *cells) for row in unsteered]
            return self._frame(self._drawn([zero, *cells], every, {}))
        rows = list(self._texts([zero], self.size.rollouts))
        for cell in cells:
            with biased(self.bench.lm, self.tokens, self._shift(cell)):
                rows += self._texts([cell], self.size.rollouts, f"plants-{self.plant_size:g}.jsonl")
        return self._frame(rows)

    def begins(self) -> FloatArray:
        """(n,) log-odds of the behaviour where the unsteered sentences begin that are counted; all where none is."""
        (rows,) = self.next_by_cell([StudyCell("", (0.0,) * len(self.names))]).values()
        counted = self.free(range(len(self.names))) if self.size.outcome == "next" else {}
        found = [np.array(row.log_odds)[counted.get(row.prompt_id, slice(None))] for row in rows]
        return np.concatenate(found if any(part.size for part in found) else [np.array(row.log_odds) for row in rows])

    def _shift(self, cell: StudyCell) -> float:
        return self.plant_size * shift(cell.control, cell.doses)

    @property
    def _role(self) -> str:
        return self.bench.lm.role

    def _read(self, cells: Sequence[StudyCell]) -> list[NextSentences]:
        parts = (self.tokens, self.bench.mean_norms, self.bench.seed, self.batch_tokens)
        file = self.folder / f"{self.prefix}next-{self._role}.jsonl"
        return read_next(self.bench.lm, self.asked, cells, *parts, file)

    def _outcomes(self, cells: Sequence[StudyCell], rollouts: int, file: str) -> list[Outcome]:
        wanted: dict[Condition, Any] = {cell.condition(self._role): cell.edits or None for cell in cells}
        return run_conditions(replace(self.bench, rollouts=rollouts), wanted, self.folder / f"{self.prefix}{file}")

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
        rows, split = by_cell(found), self._split()
        for cell in cells:
            key = cell.condition(self._role).key
            for row in rows[key]:
                flag = flags.get((key, row.prompt_id), (np.nan, np.nan))
                drawn = row.draw(self.size.rollouts * DRAWS, self.bench.seed, self._shift(cell))
                counts = drawn.reshape(self.size.rollouts, DRAWS, -1).sum(axis=1)
                for stands, places in split[row.prompt_id].items():
                    for rollout, count in enumerate(counts[:, places].sum(axis=1).tolist()):
                        n = DRAWS * int(places.sum())
                        yield self._row(cell, row.prompt_id, rollout, n, count, flag, stands)

    def _split(self) -> dict[str, dict[str | None, BoolArray]]:
        """By prompt, the places at which the same directions stand."""
        if self.stands is None:
            return {name: {None: np.ones(len(each.before), dtype=bool)} for name, each in self.asked.items()}
        found: dict[str, dict[str | None, BoolArray]] = {}
        for name, rows in self.stands.items():
            patterns = np.array([pattern(row, self.names) for row in rows])
            found[name] = {str(text): patterns == text for text in np.unique(patterns)}
        return found

    def _row(
        self,
        cell: StudyCell,
        prompt: str,
        rollout: int,
        n: float,
        y: float | None,
        flag: tuple[float, float],
        stands: str | None = None,
    ) -> dict[str, Any]:
        doses = {f"{PREFIX}{name}": dose for name, dose in zip(self.names, cell.doses, strict=True)}
        facts = {"prompt": prompt, "rollout": rollout, "category": self.categories[prompt], **doses}
        facts |= {"control": cell.control, "model": self._role, "standing": stands}
        return {**facts, "sentences": n, "backtracks": y, "loop": flag[0], "coherent": flag[1]}

    def _frame(self, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
        # an outcome that nobody looked at anywhere is no column
        return pd.DataFrame(rows).dropna(axis=1, how="all")
