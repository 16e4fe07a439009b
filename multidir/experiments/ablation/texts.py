"""Ablation while the model writes: spontaneous backtracking, quality of answers, and random ablations as the null."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multidir.experiments.ablation.arms import NULLS, Arm
from multidir.experiments.ablation.verdicts import over_nulls
from multidir.experiments.cells import Counts, backtrack_counts, by_condition
from multidir.experiments.probes.score import interval
from multidir.experiments.steering.bench import Bench, run_conditions
from multidir.organism.grammar import answered, parse, step_outcomes
from multidir.records.outcome import Condition, Outcome
from multidir.stats.bootstrap import weighted_bootstrap
from multidir.stats.crossed import RandomTreatments, Ratio
from multidir.stats.estimate import Estimate
from multidir.stats.proportions import ratio_of_sums
from multidir.types import FloatArray

Count = Callable[[Sequence[Outcome], Sequence[str]], Counts]
"""From outcomes and prompts to a numerator and a denominator per prompt."""


def write_texts(
    bench: Bench, arms: Sequence[Arm], random: Sequence[Arm], null_prompts: int, file: Path
) -> dict[str, list[Outcome]]:
    """Outcomes by arm: `none`, every arm, and each kind of random arms together, each of them on a part of the prompts.

    The parts differ, so that the random arms of a kind together have seen all prompts: their pool then rests on as many
    clusters as the other arms do.

    Args:
        bench: target model and prompts.
        arms: on all prompts.
        random: on about `null_prompts` prompts each.
        file: outcomes on disk as they finish.
    """
    role = bench.lm.role
    cells = {Condition(role, arm.name, 1.0, "share"): arm.edits() for arm in arms}
    found = run_conditions(bench, {Condition(role, "none", 0.0): None, **cells}, file)
    by_arm: dict[str, list[Outcome]] = {"none": [], **{arm.name: [] for arm in arms}}
    for outcome in found:
        by_arm[outcome.condition.direction].append(outcome)
    for kind in dict.fromkeys(arm.kind for arm in random):
        mine = [arm for arm in random if arm.kind == kind]
        parts = min(max(1, round(len(bench.prompts) / max(1, null_prompts))), len(mine))
        by_arm[kind] = []
        for part in range(parts):
            some = replace(bench, prompts=list(bench.prompts)[part::parts])
            null = {Condition(role, arm.name, 1.0, "share"): arm.edits() for arm in mine[part::parts]}
            by_arm[kind] += run_conditions(some, null, file)
    return by_arm


def texts_table(
    by_arm: Mapping[str, Sequence[Outcome]],
    kinds: Mapping[str, str],
    answers: Mapping[str, str | None],
    draws: int,
    seed: int,
    causes: bool,
) -> pd.DataFrame:
    """Every arm beside nothing taken out, on the same prompts.

    Returns:
        arm, kind, n_prompts, n_texts, n_unscored, share, low, high (of sentences that backtrack), change, change_low,
        change_high, logprob (mean, of the unsteered model), words, coherent; and on the tiny pair, each with its
        interval, accuracy and accuracy_change (of answers), both_rate and both_change (of backtracking after steps
        that have both causes). For every arm that is not random, change_over_random and change_over_matched, with
        their intervals: how much more it changes than another random ablation of that kind would. Intervals of random
        ablations allow for which directions were drawn.
    """
    prompts = sorted({o.prompt_id for o in by_arm["none"]})
    counts: dict[str, tuple[str, Count]] = {"change": ("share", backtrack_counts)}
    if causes:
        counts |= {"accuracy_change": ("accuracy", _checking(answers)), "both_change": ("both_rate", _after_both)}
    nulls = {what: _nulls(count, by_arm, prompts) for what, (_, count) in counts.items()}
    rows = []
    for arm, outcomes in by_arm.items():
        row: dict[str, Any] = {
            "arm": arm,
            "kind": kinds.get(arm, arm),
            "n_prompts": len({o.prompt_id for o in outcomes}),
            "n_texts": len(outcomes),
            "n_unscored": sum(o.n_backtracks is None for o in outcomes),
        }
        for what, (share, count) in counts.items():
            plain = count(by_arm["none"], prompts)
            if arm in NULLS:
                row |= _random_beside(nulls[what].get(arm), Ratio.of(*plain), share, what)
            else:
                row |= _beside(count(outcomes, prompts), plain, share, what, draws, seed)
            if arm not in ("none", *NULLS):
                row |= over_nulls(Ratio.of(*count(outcomes, prompts)), nulls[what], what)
        row |= {"logprob": _mean([o.logprob for o in outcomes]), "words": _mean([o.n_words for o in outcomes])}
        row["coherent"] = _mean([None if o.coherent is None else float(o.coherent) for o in outcomes])
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.rename(columns={"share_low": "low", "share_high": "high"})


def _nulls(
    count: Count, by_arm: Mapping[str, Sequence[Outcome]], prompts: Sequence[str]
) -> dict[str, RandomTreatments]:
    """What the random arms of each kind do together, where there are two at least."""
    found = {}
    for kind in NULLS:
        cells = list(by_condition(by_arm.get(kind, ())).values())
        if len(cells) > 1:
            hits, trials = zip(*(count(each, prompts) for each in cells), strict=True)
            found[kind] = RandomTreatments.of(np.stack(hits), np.stack(trials))
    return found


def _random_beside(null: RandomTreatments | None, plain: Ratio, share: str, change: str) -> dict[str, Any]:
    """Share and change of random arms, as `_beside`."""
    unknown = Estimate(np.nan, np.nan, np.nan, 0, "fewer than two random ablations")
    nothing = Ratio(0.0, np.zeros_like(plain.influence))
    found = (unknown, unknown) if null is None else (null.change(nothing), null.change(plain))
    return interval(share, found[0]) | interval(change, found[1])


def _beside(treated: Counts, plain: Counts, share: str, change: str, draws: int, seed: int) -> dict[str, Any]:
    """A share with its interval, and its difference from the same share with nothing taken out, same prompts."""
    (num, den), (num_0, den_0) = treated, plain

    def difference(w: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            found: FloatArray = (w @ num) / (w @ den) - (w @ num_0) / (w @ den_0)
        return found

    unknown = Estimate(np.nan, np.nan, np.nan, 0, "no scored text")
    known = den.sum() > 0
    level = ratio_of_sums(num, den, np.random.default_rng(seed), draws, icc=0.0) if known else unknown
    both = known and den_0.sum() > 0
    moved = weighted_bootstrap(difference, len(num), np.random.default_rng(seed), draws) if both else unknown
    return interval(share, level) | interval(change, moved)


def _checking(answers: Mapping[str, str | None]) -> Count:
    """Texts with the right answer among those of prompts whose answer is known; a text that gives none is wrong."""

    def count(outcomes: Sequence[Outcome], prompts: Sequence[str]) -> Counts:
        known = [o for o in outcomes if answers.get(o.prompt_id) is not None]
        right = [float(answered(o.text) == answers[o.prompt_id]) for o in known]
        return _per_prompt(known, prompts, right, [1.0] * len(known))

    return count


def _after_both(outcomes: Sequence[Outcome], prompts: Sequence[str]) -> Counts:
    """Steps with both causes, and those of them that are taken back."""
    steps = [
        [taken for step, taken in step_outcomes(parse(o.text)) if step.hesitates and step.mistaken] for o in outcomes
    ]
    return _per_prompt(outcomes, prompts, [float(sum(s)) for s in steps], [float(len(s)) for s in steps])


def _per_prompt(
    outcomes: Sequence[Outcome], prompts: Sequence[str], hits: Sequence[float], trials: Sequence[float]
) -> Counts:
    place = {prompt: i for i, prompt in enumerate(prompts)}
    index = [place[o.prompt_id] for o in outcomes]
    num, den = (np.bincount(index, values, len(prompts)).astype(np.float64) for values in (hits, trials))
    return num, den


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else np.nan
