"""What came out: one generation in one cell of a design, with its behaviour counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from multidir.errors import ConfigError

Stop = Literal["eos", "length", "loop"]
"""How a generation ended: by itself, at the length limit, or cut off because it only repeated itself."""


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
    stopped: Stop | None = None
    """How it ended; None in files that do not say more than `finished`."""
    n_capped: int | None = None
    """Keywords by whole words with repetition taken out (`capped_keyword_count`)."""
    n_substrings: int | None = None
    """Keywords, inside words too ("waiting"), as the paper's code counts; prompt not counted."""
    n_split: int | None = None
    """Words between white space: the denominator that belongs to `n_substrings`; prompt not counted."""
    prompt_substrings: int | None = None
    """`n_substrings` of the prompt alone; None when the prompt's text was not given."""
    prompt_split: int | None = None
    """`n_split` of the prompt alone; None when the prompt's text was not given."""
    zlib_ratio: float | None = None
    """Compressed over raw bytes; None for an empty text."""
    kl: float | None = None
    """KL of the first new token's distribution, steered from unsteered, in nats; None when not measured."""
    edit_norm: float | None = None
    """Receipt: mean norm of the edit over the edited positions, in residual-stream units; None without edits."""

    def __post_init__(self) -> None:
        """Refuse two accounts of one ending."""
        if self.stopped is not None and self.finished != (self.stopped == "eos"):
            raise ConfigError(
                f"outcome {self.condition.key}, {self.prompt_id}: stopped is {self.stopped!r}, "
                f"but finished is {self.finished}"
            )
