"""The cells of a combination study: a factorial, a dose ladder of every direction, and controls."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from multidir.errors import ConfigError
from multidir.stats.factorial import design
from multidir.types import FloatArray

LADDER = (1.0, 2**0.5, 2.0, 2 * 2**0.5)
"""Rungs of a dose ladder, as multiples of a direction's own dose."""


@dataclass(frozen=True)
class Size:
    """How much of the protocol is run; the defaults are all of it."""

    outcome: Literal["rollouts", "next"] = "rollouts"
    """`rollouts`: whole texts, sentence by sentence. `next`: how unsteered texts go on after each of their sentences
    when they are read with the edits; whole texts only of the cells whose loops and coherence are looked at."""
    problems: int = 0
    """Problems of the split, evenly spaced; 0: all."""
    rollouts: int = 4
    """Texts, or draws of the next sentence, per prompt and cell."""
    n_random: int = 20
    """Pairs of random vectors."""
    base_model: bool = True
    """Run the factorial on the base model too."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing."""
        if self.rollouts < 1 or self.n_random < 0 or self.problems < 0:
            raise ConfigError(
                f"--rollouts is {self.rollouts}, --problems {self.problems}, --n-random {self.n_random}; "
                "they are at least 1, 0 and 0"
            )

    def reduced(self, prompts: int) -> str:
        """What is less than the protocol asks for, in one sentence; empty when nothing is.

        Args:
            prompts: That were run.
        """
        less = [f"{prompts} prompts instead of 100"] if prompts < 100 else []
        if self.outcome == "next":
            less.append("the sentence after fixed texts instead of whole rollouts")
        elif self.rollouts < 4:
            less.append(f"{self.rollouts} of 4 rollouts")
        if self.n_random < 20:
            less.append(f"{self.n_random} of 20 random pairs")
        if not self.base_model:
            less.append("no base model")
        return f"Reduced design: {', '.join(less)}." if less else ""


class Given(Protocol):
    """Where outcomes come from: the settings of analysis/combination."""

    @property
    def prompts(self) -> Path | None: ...  # noqa: D102
    @property
    def directions(self) -> Path | None: ...  # noqa: D102
    @property
    def outcomes(self) -> Path | None: ...  # noqa: D102


def is_study(given: Given) -> bool:
    """Whether outcomes are to be measured on a model pair; otherwise there is a table of them.

    Raises:
        ConfigError: both, or neither.
    """
    study = given.prompts is not None and given.directions is not None
    if study == (given.outcomes is not None):
        raise ConfigError(
            "analysis/combination needs either --prompts and --directions, to measure on a model pair, or "
            "--outcomes FILE.parquet or FILE.csv, one row per rollout; --help says more"
        )
    return study


@dataclass(frozen=True, eq=False)
class Cells:
    """What is run on every prompt."""

    doses: FloatArray
    """(c, k) float64. Multiples of each direction's own dose."""
    controls: tuple[str, ...]
    """(c,) which control a cell belongs to; empty for the directions themselves."""


def protocol(k: int, ladders: bool = True, flips: bool = False, n_random: int = 0) -> Cells:
    """Every cell of the protocol, each once.

    Args:
        k: Directions.
        ladders: Run every direction alone at each rung, and every pair.
        flips: Run every direction alone at minus its dose.
        n_random: Pairs of random directions, each with its two singles.
    """
    rows = [tuple(row) for row in design(k)]
    one = np.eye(k)
    if ladders:
        rows += [tuple(rung * one[j]) for j in range(k) for rung in LADDER]
        rows += [tuple(one[i] + one[j]) for i, j in combinations(range(k), 2)]
    if flips:
        rows += [tuple(-one[j]) for j in range(k)]
    real = list(dict.fromkeys(rows))
    random = [tuple(row) for _ in range(n_random) for row in (one[0], one[1], one[0] + one[1])]
    labels = ("",) * len(real) + tuple(f"random:{i // 3 + 1}" for i in range(len(random)))
    return Cells(np.array([*real, *random], dtype=np.float64), labels)
