"""Settings of candidates: where they are sought, how, and how they are measured."""

from __future__ import annotations

from dataclasses import dataclass

from multidir.errors import ConfigError


@dataclass(frozen=True)
class CandidateChoice:
    """Where candidates are sought, how, and how they are measured."""

    site: str = "L10"
    """Where."""
    label: str = "backtracking"
    """The behaviour."""
    annotator: str = ""
    """Whose labels; empty where the store has those of one annotator only."""
    windows: tuple[str, ...] = ("-13:-8",)
    """Token offsets before a sentence. Differences of means are taken in all; candidates are read, and probes and axes
    found, in the first."""
    words: tuple[str, ...] = ("wait", "hmm")
    """Words whose log-odds are the effect: single tokens, in any case."""
    penalty: float = 0.01
    """C of the logistic probe (standardised channels)."""
    principal: int = 6
    """Principal axes of the rows before the behaviour."""
    independent: int = 32
    """Independent axes of all rows before sentences."""
    latents: int = 5
    """Latents of each dictionary from either end of every ranking."""
    alike: float = 0.8
    """Cosine, or correlation of readings, from which two candidates are one."""
    measured: int = 24
    """Groups that are measured, by adding their most typical member and by taking it out; the most promising ones."""
    controls: int = 5
    """Directions of each kind of control."""
    dose: float = 0.15
    """At which all are added, relative to the mean residual norm."""
    texts: int = 24
    """Texts in which effects are measured: those with the behaviour most often."""
    steps: int = 8
    """Points on the way from the mean row, for integrated gradients."""
    causes: bool = False
    """Compare with the planted causes of the tiny pair; other models have none that are known."""
    seed: int = 0
    """Of halves, starting points and controls."""

    def __post_init__(self) -> None:
        """Refuse settings under which nothing is found or measured."""
        if min(self.measured, self.texts, self.principal, self.independent) < 1 or self.controls < 0 or self.steps < 0:
            raise ConfigError(
                "candidates need --measured, --texts, --principal and --independent of at least 1, and --controls and "
                f"--steps that are not negative; got {self.measured}, {self.texts}, {self.principal}, "
                f"{self.independent}, {self.controls} and {self.steps}"
            )
        if not 0 < self.alike <= 1 or self.dose <= 0 or not self.windows:
            raise ConfigError(f"--alike {self.alike} is in (0, 1], --dose {self.dose} above 0, and a window is needed")
