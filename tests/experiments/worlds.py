"""Outcomes made by hand, so that every share is known."""

from __future__ import annotations

from dataclasses import replace

from multidir.records.outcome import Condition, Outcome

PLAIN = Condition("reasoning", "none", 0.0)


def outcome(
    condition: Condition = PLAIN, prompt: str = "p0", backtracks: int | None = 0, sentences: int = 10, **changes: object
) -> Outcome:
    made = Outcome(
        condition=condition,
        prompt_id=prompt,
        rollout=0,
        seed=1,
        text="",
        n_new_tokens=50,
        finished=True,
        n_words=40,
        n_keywords=backtracks or 0,
        n_sentences=None if backtracks is None else sentences,
        n_backtracks=backtracks,
        longest_run=1,
        distinct_2=1.0,
        logprob=-0.5,
        coherent=True,
        positions_edited=0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def cell(condition: Condition, backtracks: list[int | None], **changes: object) -> list[Outcome]:
    return [outcome(condition, f"p{i}", n, **changes) for i, n in enumerate(backtracks)]
