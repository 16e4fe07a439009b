"""Groups of settings that several recipes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from multidir.annotate.text_measures import CoherenceGate


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
