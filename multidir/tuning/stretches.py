"""Which stretches of which traces a step of finetuning sees: drawn from its number alone, backtracking more often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multidir.errors import DesignError
from multidir.records.text import Sentence, Trace
from multidir.tuning.settings import Drawing
from multidir.types import IntArray

NO_TARGET = -100
"""Target of a token that is read but not learnt, as torch's cross entropy takes it."""


class Stretches:
    """Traces as a source of training steps.

    Args:
        traces: what is learnt; of the tokens, those after the prompt.
        sentences: their labels.
        behaviour: the label whose stretches are drawn more often.
        drawing: how.
    Raises:
        DesignError: no trace has a token to learn, or none has the behaviour that is to be drawn more often.
    """

    def __init__(
        self, traces: Sequence[Trace], sentences: Sequence[Sentence], behaviour: str, drawing: Drawing
    ) -> None:
        self.drawing = drawing
        self._ids = [np.asarray(trace.token_ids, dtype=np.int64) for trace in traces]
        self._prompts = [trace.n_prompt for trace in traces]
        place = {trace.id: i for i, trace in enumerate(traces)}
        self._anchors = [
            (place[s.trace_id], s.token_start) for s in sentences if s.label == behaviour and s.trace_id in place
        ]
        self._grid = [
            (i, first) for i, ids in enumerate(self._ids) for first in self._firsts(len(ids), self._prompts[i])
        ]
        if not self._grid:
            raise DesignError(f"none of {len(traces)} traces has a token after its prompt; there is nothing to learn")
        if drawing.behaviour_share and not self._anchors:
            raise DesignError(
                f"none of {len(traces)} traces has a {behaviour} sentence, so that none can be drawn more often; give "
                "labels that know it, or --behaviour-share 0"
            )

    def _firsts(self, length: int, n_prompt: int) -> list[int]:
        """Evenly laid stretches that hold a token to learn: the last one ends where the trace ends."""
        window = self.drawing.stretch
        starts = [*range(0, max(1, length - window), window), max(0, length - window)]
        return [first for first in dict.fromkeys(starts) if max(first + 1, n_prompt) < min(length, first + window)]

    def step(self, number: int) -> tuple[IntArray, IntArray]:
        """Token ids and targets of a step, (rows, window) both; what is shorter is filled up on the right."""
        rng = np.random.default_rng([self.drawing.draw_seed, number])
        ids = np.zeros((self.drawing.rows, self.drawing.stretch), dtype=np.int64)
        targets = np.full_like(ids, NO_TARGET)
        for row in range(self.drawing.rows):
            trace, first = self._draw(rng)
            some = self._ids[trace][first : first + self.drawing.stretch]
            ids[row, : len(some)] = some
            learnt = max(0, self._prompts[trace] - first)
            targets[row, learnt : len(some)] = some[learnt:]
        width = int((targets != NO_TARGET).any(axis=0).nonzero()[0].max()) + 1
        return ids[:, :width], targets[:, :width]

    def _draw(self, rng: np.random.Generator) -> tuple[int, int]:
        if rng.random() >= self.drawing.behaviour_share:
            return self._grid[int(rng.integers(len(self._grid)))]
        trace, token = self._anchors[int(rng.integers(len(self._anchors)))]
        window = self.drawing.stretch
        before = int(rng.integers(window // 4, window - window // 4 + 1))  # neither without context nor cut off
        return trace, int(np.clip(token - before, 0, max(0, len(self._ids[trace]) - window)))
