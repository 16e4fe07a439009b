"""Turns generated texts into outcomes: behaviour counted, degeneration measured, unknowns kept unknown."""

from __future__ import annotations

from dataclasses import dataclass

from multidir.annotate.base import Annotator
from multidir.annotate.lexical import capped_keyword_count, keyword_count
from multidir.annotate.text_measures import CoherenceGate, coherent, distinct_2, longest_run, words, zlib_ratio
from multidir.experiments.settings import Scoring
from multidir.records.outcome import Condition, Outcome, Stop

BACKTRACKING = "backtracking"
"""The label whose causes the project looks for."""


@dataclass(frozen=True)
class Scorer:
    """How the texts of one run are scored; the same for every condition."""

    annotator: Annotator
    scoring: Scoring

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
        stopped: Stop | None = None,
        kl: float | None = None,
        edit_norm: float | None = None,
        prompt: str | None = None,
    ) -> Outcome:
        """Count what the text shows. A text no sentence of which could be labelled has unscored counts.

        Args:
            prompt: text of the prompt as the model read it, special tokens included; for the paper's
                denominator. Without it that share is unscored when the prompt is to be counted.
        """
        labels = [span.label for span in self.annotator.label(text)]
        labelled = [label for label in labels if label is not None]
        keywords = self.scoring.keywords
        return Outcome(
            condition=condition,
            prompt_id=prompt_id,
            rollout=rollout,
            seed=seed,
            text=text,
            n_new_tokens=n_new_tokens,
            finished=finished,
            n_words=len(words(text)),
            n_keywords=keyword_count(text, keywords, rule="word"),
            n_sentences=len(labels) if labelled else None,
            n_backtracks=labelled.count(BACKTRACKING) if labelled else None,
            longest_run=longest_run(text),
            distinct_2=distinct_2(text),
            logprob=logprob,
            coherent=coherence(text, self.scoring.gate, stopped, logprob, kl),
            positions_edited=positions_edited,
            stopped=stopped,
            n_capped=capped_keyword_count(text, keywords, self.scoring.repeat_cap),
            n_substrings=keyword_count(text, keywords, rule="substring"),
            n_split=len(text.split()),
            prompt_substrings=None if prompt is None else keyword_count(prompt, keywords, rule="substring"),
            prompt_split=None if prompt is None else len(prompt.split()),
            zlib_ratio=zlib_ratio(text),
            kl=kl,
            edit_norm=edit_norm,
        )


def coherence(
    text: str,
    gate: CoherenceGate,
    stopped: Stop | None = None,
    logprob: float | None = None,
    kl: float | None = None,
) -> bool | None:
    """Whether a generation passes the gate: by its words, its ending and how likely the unsteered model finds it.

    One failing part decides. None when no part fails, but one that is asked for has no score.
    """
    parts = [
        coherent(text, gate),
        stopped != "loop",
        _holds(logprob, gate.min_logprob, 1),
        _holds(kl, gate.max_kl, -1),
    ]
    if False in parts:
        return False
    return None if None in parts else True


def _holds(score: float | None, bound: float | None, sign: int) -> bool | None:
    if bound is None:
        return True
    return None if score is None else sign * score >= sign * bound
