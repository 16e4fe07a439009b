"""What came out: one generation in one cell of a design, with its behaviour counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """One cell of a steering design: which model, which direction, how much."""

    target: str
    """Role of the steered model: `base` or `reasoning`."""
    direction: str
    """Name of the direction, or `none`."""
    dose: float
    """Value in `dose_unit`."""
    dose_unit: str = "relative"

    @property
    def key(self) -> str:
        """Stable text that names the cell; seeds and resumption depend on it."""
        return f"{self.target}|{self.direction}|{self.dose:g}{self.dose_unit}"


@dataclass(frozen=True)
class Outcome:
    """One generation in one cell. A score that could not be computed is None: counted, never zero."""

    condition: Condition
    prompt_id: str
    rollout: int
    seed: int
    text: str
    n_new_tokens: int
    finished: bool
    """True when the model ended by itself."""
    n_words: int
    n_keywords: int
    """Words of the keyword set (word-boundary rule), prompt not counted."""
    n_sentences: int | None
    n_backtracks: int | None
    """Sentences labelled backtracking by the run's annotator; None when it could not label the text."""
    longest_run: int
    """Longest run of one and the same word."""
    distinct_2: float | None
    """Distinct word pairs over all word pairs; None below two words."""
    logprob: float | None
    """Mean log-probability per generated token under the unsteered target model, in nats."""
    coherent: bool | None
    """Passes the coherence gate of the run; None when unscored."""
    positions_edited: int
    """Receipt: token positions whose residual stream was edited (0 only at dose 0)."""
