"""Groups of settings that several recipes share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from multidir.annotate.text_measures import CoherenceGate
from multidir.errors import ConfigError
from multidir.linalg.contrast import MeanRule, Reference
from multidir.methods.window_rules import Skip
from multidir.records.stopping import LoopRule


@dataclass(frozen=True)
class Means:
    """How a difference of means is taken."""

    mean: MeanRule = "token"
    """`token`: all rows weigh alike (the paper's code). `trace`: mean of per-trace means (Eq. 3)."""
    reference: Reference = "all"
    """`all`: minus the mean over all labelled sentences, positives included (Eq. 3). `rest`: positives left out."""
    skip: Skip = "whole"
    """Windows that leave the text. `whole`: left out. `code`: cut at the end of the trace, and position 0 may enter, as
    in the paper's code. `reply`: those that reach into the prompt are left out too."""


@dataclass(frozen=True)
class Lens:
    """How a direction is read through an unembedding."""

    rule: Literal["mean", "top"] = "mean"
    """`mean`: mean logit over all tokens with one of the words (Eq. 2). `top`: sum of those among the top k logits (the
    paper's code)."""
    words: tuple[str, ...] = ("wait", "but")
    """A token counts when its text contains one of these, in any case."""
    top_k: int = 15
    """How many of the largest logits the rule `top` looks at."""
    final_norm: bool = False
    """Pass the final norm before the unembedding. The paper does not."""

    def __post_init__(self) -> None:
        """Refuse a lens that sees nothing."""
        if not self.words or self.top_k < 1:
            raise ConfigError(f"--words are {self.words} and --top-k {self.top_k}; give a word, and at least 1")


@dataclass(frozen=True)
class Scoring:
    """How a generated text is scored."""

    annotator: str = "lexical"
    """Who labels its sentences: `lexical` or `grammar`."""
    keywords: tuple[str, ...] = ("wait", "hmm")
    """Words of the keyword share (arXiv 2507.12638, Eq. 1), any case, whole words."""
    count_prompt: bool = False
    """Whether the prompt's words and keywords enter the share that counts inside words, as in the paper's code."""
    repeat_cap: int = 1
    """How often a keyword between the same two neighbouring words enters the repeat-capped count."""
    min_coherent: float = 0.8
    """A cell counts as coherent when at least this share of its texts passes the gate."""
    gate: CoherenceGate = field(default_factory=CoherenceGate)
    """When a single text is coherent."""
    loops: LoopRule = field(default_factory=LoopRule)
    """When a text is cut off because it repeats itself; it is not coherent then."""
