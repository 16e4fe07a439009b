"""Settings of an ablation study: what is taken out, how, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from multidir.errors import ConfigError
from multidir.experiments.settings import Scoring

ARMS = ("project", "mean", "span", "leace", "inlp", "gated", "latents")
"""Ways of taking directions out: projected out, held at the mean, the span of the first ones held, LEACE, a ladder of
probes, the span held where a probe points, latents switched off."""


@dataclass(frozen=True)
class AblationChoice:
    """What is taken out, how, and how it is measured."""

    names: tuple[str, ...] = ()
    """Directions under study; none given: the first ones that are no controls."""
    first: int = 3
    """How many of them."""
    label: str = "backtracking"
    """The behaviour."""
    store_annotator: str = ""
    """Whose labels of the store; empty where it has those of one annotator only."""
    fit_window: str = "-13:-8"
    """Token offsets before a sentence on which erasers and probes are fitted."""
    words: tuple[str, ...] = ("wait", "hmm")
    """Words whose log-odds are the effect: single tokens, in any case."""
    penalty: float = 0.01
    """C of logistic probes (standardised channels)."""
    inlp: tuple[int, ...] = (1, 2, 4, 8)
    """Rungs of the ladder of probes that are taken out."""
    gate_share: float = 0.2
    """Share of the tokens at which the gated arm edits: those with the highest probe scores."""
    shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """How much of an erasure is done, for the curve of effect against damage; 1 is needed."""
    texts: int = 24
    """Texts already written in which effects are measured: those with the behaviour most often."""
    steps: int = 8
    """Points on the way from the mean row, for integrated gradients."""
    n_random: int = 20
    """Random ablations of each kind: random directions taken out alike, and others at the same norm at every token."""
    folds: int = 5
    """Of fresh probes, by trace."""
    generated: tuple[str, ...] = ("mean", "span", "leace", "gated", "latents")
    """Kinds of arms under which the model writes freely."""
    split: str = "confirm"
    """Problems for free generation."""
    rollouts: int = 1
    """Texts per problem and arm."""
    null_prompts: int = 40
    """Problems on which each random ablation is run, others for others; together they see all."""
    max_new_tokens: int = 300
    """Length limit of a text."""
    scoring: Scoring = field(default_factory=Scoring)
    """How texts are scored."""
    draws: int = 1000
    """Bootstrap resamples of prompts and traces."""
    causes: bool = False
    """Also read the planted causes and check answers; for the tiny pair, whose texts can be read exactly."""
    seed: int = 0
    """Of texts, random ablations, folds and resampling."""

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        if min(self.first, self.texts, self.folds - 2, self.rollouts) < 1 or min(self.n_random, self.null_prompts) < 0:
            raise ConfigError(
                "an ablation study needs --first, --texts and --rollouts of at least 1, --folds of at least 3, and "
                f"--n-random and --null-prompts that are not negative; got {self.first}, {self.texts}, "
                f"{self.rollouts}, {self.folds}, {self.n_random} and {self.null_prompts}"
            )
        if self.n_random == 1:
            raise ConfigError("--n-random 1 does not tell how far random ablations differ; take 20, or 0 for none")
        if 1.0 not in self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ConfigError(f"--shares are in (0, 1] and hold 1, got {self.shares}")
        if unknown := sorted(set(self.generated) - set(ARMS)):
            raise ConfigError(f"--generated {' '.join(unknown)} is no way of taking out; there are {', '.join(ARMS)}")
        if not 0 < self.gate_share < 1 or any(k < 1 for k in self.inlp):
            raise ConfigError(f"--gate-share {self.gate_share} is in (0, 1), and --inlp {self.inlp} counts from 1")
