"""Turns generated texts into outcomes: behaviour counted, degeneration measured, unknowns kept unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from multidir.annotate.base import Annotator
from multidir.annotate.lexical import keyword_count
from multidir.annotate.text_measures import CoherenceGate, coherent, distinct_2, longest_run, words
from multidir.records.outcome import Condition, Outcome

BACKTRACKING = "backtracking"
"""The label whose causes the project looks for."""


@dataclass(frozen=True)
class Scorer:
    """How the texts of one run are scored; the same for every condition."""

    annotator: Annotator
    keywords: tuple[str, ...]
    gate: CoherenceGate

    def outcome(
        self,
        condition: Condition,
        prompt_id: str,
        rollout: int,
        seed: int,
        text: str,
        n_new_tokens: int,
        finished: bool,
        logprob: float | None,
        positions_edited: int,
    ) -> Outcome:
        """Count what the text shows. A text no sentence of which could be labelled has unscored counts."""
        labels = [span.label for span in self.annotator.label(text)]
        labelled = [label for label in labels if label is not None]
        return Outcome(
            condition=condition,
            prompt_id=prompt_id,
            rollout=rollout,
            seed=seed,
            text=text,
            n_new_tokens=n_new_tokens,
            finished=finished,
            n_words=len(words(text)),
            n_keywords=keyword_count(text, self.keywords, rule="word"),
            n_sentences=len(labels) if labelled else None,
            n_backtracks=labelled.count(BACKTRACKING) if labelled else None,
            longest_run=longest_run(text),
            distinct_2=distinct_2(text),
            logprob=logprob,
            coherent=coherent(text, self.gate),
            positions_edited=positions_edited,
        )


def unscored(outcomes: Sequence[Outcome]) -> int:
    """How many outcomes have no behaviour count."""
    return sum(outcome.n_backtracks is None for outcome in outcomes)
