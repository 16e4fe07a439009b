"""From outcomes to one row of estimates per cell, resampling prompts because rollouts of one prompt are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.records.outcome import Condition, Outcome
from multidir.stats.estimate import Estimate
from multidir.stats.proportions import ratio_of_ratios, ratio_of_sums
from multidir.types import FloatArray

Counts = tuple[FloatArray, FloatArray]
"""Numerator and denominator per prompt."""


def by_condition(outcomes: Iterable[Outcome]) -> dict[Condition, list[Outcome]]:
    """Outcomes of each cell, cells in order of first appearance."""
    cells: dict[Condition, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        cells[outcome.condition].append(outcome)
    return dict(cells)


def backtrack_counts(outcomes: Sequence[Outcome], prompts: Sequence[str]) -> Counts:
    """Backtracking sentences and all sentences per prompt; unscored outcomes count for neither."""
    scored = [o for o in outcomes if o.n_backtracks is not None]
    return (
        _per_prompt(scored, prompts, [o.n_backtracks or 0 for o in scored]),
        _per_prompt(scored, prompts, [o.n_sentences or 0 for o in scored]),
    )


def keyword_counts(outcomes: Sequence[Outcome], prompts: Sequence[str]) -> Counts:
    """Keywords and words per prompt, the prompt's own words not counted."""
    return (
        _per_prompt(outcomes, prompts, [o.n_keywords for o in outcomes]),
        _per_prompt(outcomes, prompts, [o.n_words for o in outcomes]),
    )


def capped_counts(outcomes: Sequence[Outcome], prompts: Sequence[str]) -> Counts:
    """Keywords with repetition taken out, and words, per prompt; outcomes without that count count for neither."""
    scored = [o for o in outcomes if o.n_capped is not None]
    return (
        _per_prompt(scored, prompts, [o.n_capped or 0 for o in scored]),
        _per_prompt(scored, prompts, [o.n_words for o in scored]),
    )


def substring_counts(outcomes: Sequence[Outcome], prompts: Sequence[str], count_prompt: bool) -> Counts:
    """Keywords counted inside words too, and words between white space, per prompt: the metric of the paper's code.

    Args:
        count_prompt: whether each text's prompt counts as well; then a text whose prompt is unknown is unscored.
    """
    pieces = [_substring_pieces(o, count_prompt) for o in outcomes]
    scored = [(o, *piece) for o, piece in zip(outcomes, pieces, strict=True) if piece is not None]
    texts = [o for o, _, _ in scored]
    return (
        _per_prompt(texts, prompts, [found for _, found, _ in scored]),
        _per_prompt(texts, prompts, [total for _, _, total in scored]),
    )


def _substring_pieces(outcome: Outcome, count_prompt: bool) -> tuple[int, int] | None:
    parts = [(outcome.n_substrings, outcome.n_split)]
    parts += [(outcome.prompt_substrings, outcome.prompt_split)] * count_prompt
    known = [(found, total) for found, total in parts if found is not None and total is not None]
    if len(known) < len(parts):
        return None
    return sum(found for found, _ in known), sum(total for _, total in known)


def _per_prompt(outcomes: Sequence[Outcome], prompts: Sequence[str], values: Sequence[int]) -> FloatArray:
    place = {prompt: i for i, prompt in enumerate(prompts)}
    index = np.array([place[o.prompt_id] for o in outcomes], dtype=np.intp)
    sums: FloatArray = np.zeros(len(prompts))
    np.add.at(sums, index, np.asarray(values, dtype=np.float64))
    return sums


def share(counts: Counts, rng: np.random.Generator, draws: int, scale: str, icc: float = 1.0) -> Estimate:
    """Sum over sum with its interval; without a single scored sentence the value is unknown, not zero.

    Args:
        counts: numerator and denominator per prompt.
        rng: source of the draws.
        draws: bootstrap resamples of prompts.
        scale: for print.
        icc: likeness of sentences of one prompt, used only when no sentence (or every one) backtracks and a
            resample has nothing to say: 1 counts a prompt as one trial, 0 each of its sentences.
    """
    if counts[1].sum() == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "no scored text", scale)
    return ratio_of_sums(*counts, rng=rng, draws=draws, scale=scale, icc=icc)


def fold_change(
    outcomes: Sequence[Outcome], baseline: Sequence[Outcome], rng: np.random.Generator, draws: int = 2000
) -> Estimate:
    """Backtracking share over that of the baseline on the same prompts, resampled together.

    Half a backtracking sentence is added to both counts, so that a baseline that never backtracks gives a
    large finite fold with a wide interval instead of infinity. Unknown where one of the two wrote no sentence at all.

    Raises:
        DesignError: the two cells have different prompts.
    """
    prompts = sorted({o.prompt_id for o in outcomes})
    if prompts != sorted({o.prompt_id for o in baseline}):
        raise DesignError("a fold change compares two cells over the same prompts, and these differ")
    steered, plain = backtrack_counts(outcomes, prompts), backtrack_counts(baseline, prompts)
    if not (steered[1].sum() and plain[1].sum()):
        return Estimate(np.nan, np.nan, np.nan, 0, "no scored text", "fold")
    return ratio_of_ratios(*steered, *plain, rng=rng, draws=draws, pseudo=0.5)


def cells_table(outcomes: Sequence[Outcome], seed: int, draws: int = 2000, count_prompt: bool = False) -> pd.DataFrame:
    """One row per condition with every share, its interval and what was left unscored.

    Args:
        count_prompt: whether prompts enter the share that counts inside words, see `substring_counts`.
    """
    return pd.DataFrame(
        [_row(c, cell, np.random.default_rng(seed), draws, count_prompt) for c, cell in by_condition(outcomes).items()]
    )


def _row(
    condition: Condition, cell: Sequence[Outcome], rng: np.random.Generator, draws: int, count_prompt: bool
) -> dict[str, Any]:
    prompts = sorted({o.prompt_id for o in cell})
    backtracks = backtrack_counts(cell, prompts)
    backtracking = share(backtracks, rng, draws, "share of sentences")
    keywords = share(keyword_counts(cell, prompts), rng, draws, "share of words")
    capped = share(capped_counts(cell, prompts), rng, draws, "share of words")
    substrings = share(substring_counts(cell, prompts, count_prompt), rng, draws, "share of words")
    return {
        "target": condition.target,
        "direction": condition.direction,
        "dose": condition.dose,
        "dose_unit": condition.dose_unit,
        "n_prompts": len(prompts),
        "n_rollouts": len(cell),
        "n_unscored": sum(o.n_backtracks is None for o in cell),
        "n_sentences": int(backtracks[1].sum()),
        "n_backtracks": int(backtracks[0].sum()),
        "backtrack_share": backtracking.value,
        "low": backtracking.low,
        "high": backtracking.high,
        "keyword_share": keywords.value,
        "keyword_low": keywords.low,
        "keyword_high": keywords.high,
        "capped_share": capped.value,
        "capped_low": capped.low,
        "capped_high": capped.high,
        "substring_share": substrings.value,
        "substring_low": substrings.low,
        "substring_high": substrings.high,
        "prompt_success": float((backtracks[0] > 0).mean()),
        **_quality(cell),
        "positions_edited": int(sum(o.positions_edited for o in cell)),
    }


def _quality(cell: Sequence[Outcome]) -> dict[str, Any]:
    """How the texts of a cell ended and how sound they are; means over what is known, the rest counted."""
    judged = [o for o in cell if o.coherent is not None]
    return {
        "coherent_share": float(np.mean([bool(o.coherent) for o in judged])) if judged else np.nan,
        "n_unjudged": len(cell) - len(judged),
        "finished_share": float(np.mean([o.finished for o in cell])),
        "loop_share": _mean([None if o.stopped is None else float(o.stopped == "loop") for o in cell]),
        "mean_words": float(np.mean([o.n_words for o in cell])),
        "mean_logprob": _mean([o.logprob for o in cell]),
        "n_no_logprob": sum(o.logprob is None for o in cell),
        "mean_kl": _mean([o.kl for o in cell]),
        "n_no_kl": sum(o.kl is None for o in cell),
        "mean_edit_norm": _mean([o.edit_norm for o in cell]),
        "longest_run": max(o.longest_run for o in cell),
        "mean_distinct_2": _mean([o.distinct_2 for o in cell]),
        "mean_zlib_ratio": _mean([o.zlib_ratio for o in cell]),
    }


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else np.nan
