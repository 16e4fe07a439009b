"""Ablation while the model writes: spontaneous backtracking, quality of answers, and random ablations as the null."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multidir.experiments.ablation_arms import Arm
from multidir.experiments.cells import Counts, backtrack_counts
from multidir.experiments.steering import Bench, run_conditions
from multidir.organism.grammar import answered, parse, step_outcomes
from multidir.records.outcome import Condition, Outcome
from multidir.records.verdict import Status, Verdict
from multidir.stats.bootstrap import weighted_bootstrap
from multidir.stats.estimate import Estimate
from multidir.stats.proportions import ratio_of_sums
from multidir.types import FloatArray

NULL = "random"
"""Name of all random arms together."""
PLAIN = Condition("reasoning", "none", 0.0)

Count = Callable[[Sequence[Outcome], Sequence[str]], Counts]
"""From outcomes and prompts to a numerator and a denominator per prompt."""


def write_texts(
    bench: Bench, arms: Sequence[Arm], random: Sequence[Arm], null_prompts: int, file: Path
) -> dict[str, list[Outcome]]:
    """Outcomes by arm: `none`, every arm, and `random` with all random arms, each on a part of the prompts.

    The parts differ, so that the random arms together have seen all prompts: their pool then rests on as many clusters
    as the other arms do.

    Args:
        bench: target model and prompts.
        arms: on all prompts.
        random: on about `null_prompts` prompts each.
        file: outcomes on disk as they finish.
    """
    cells = {Condition("reasoning", arm.name, 1.0, "share"): arm.edits() for arm in arms}
    found = run_conditions(bench, {PLAIN: None, **cells}, file)
    by_arm: dict[str, list[Outcome]] = {"none": [], **{arm.name: [] for arm in arms}}
    for outcome in found:
        by_arm[outcome.condition.direction].append(outcome)
    if random:
        by_arm[NULL] = []
        parts = min(max(1, round(len(bench.prompts) / max(1, null_prompts))), len(random))
        for part in range(parts):
            some = replace(bench, prompts=list(bench.prompts)[part::parts])
            null = {Condition("reasoning", arm.name, 1.0, "share"): arm.edits() for arm in random[part::parts]}
            by_arm[NULL] += run_conditions(some, null, file)
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
        that have both causes).
    """
    rows = []
    for arm, outcomes in by_arm.items():
        prompts = sorted({o.prompt_id for o in outcomes})
        plain = [o for o in by_arm["none"] if o.prompt_id in set(prompts)]
        row: dict[str, Any] = {
            "arm": arm,
            "kind": kinds.get(arm, arm),
            "n_prompts": len(prompts),
            "n_texts": len(outcomes),
            "n_unscored": sum(o.n_backtracks is None for o in outcomes),
        }
        row |= _beside(backtrack_counts, outcomes, plain, prompts, ("share", "change"), draws, seed)
        row |= {"logprob": _mean([o.logprob for o in outcomes]), "words": _mean([o.n_words for o in outcomes])}
        row["coherent"] = _mean([None if o.coherent is None else float(o.coherent) for o in outcomes])
        if causes:
            checked = _checking(answers)
            row |= _beside(checked, outcomes, plain, prompts, ("accuracy", "accuracy_change"), draws, seed)
            row |= _beside(_after_both, outcomes, plain, prompts, ("both_rate", "both_change"), draws, seed)
        rows.append(row)
    return pd.DataFrame(rows)


def needed_verdicts(table: pd.DataFrame) -> list[Verdict]:
    """Does backtracking fall with each arm? Only where random ablations of equal norm leave it alone.

    Judged on the share of sentences that backtrack; on the tiny pair on steps that have both causes.
    """
    what, share = ("both_change", "both_rate") if "both_change" in table else ("change", "share")
    unit = (
        "after steps with both causes, backtracking" if what == "both_change" else "the share of backtracking sentences"
    )
    null = table[table["arm"] == NULL]
    verdicts = []
    for _, row in table[~table["kind"].isin(["none", NULL])].iterrows():
        change = _estimate(row, what)
        if not len(null) or not _estimate(null.iloc[0], what).has_interval:
            status = Status.UNDETERMINED
        elif _estimate(null.iloc[0], what).excludes(0):
            status = Status.INVALID
        elif change.excludes(0):
            status = Status.SUPPORTED if change.value < 0 else Status.REFUTED
        else:
            status = Status.UNDETERMINED
        random = f"random ablations of equal norm by {_points(null.iloc[0], what)}" if len(null) else "no null was run"
        verdicts.append(
            Verdict(
                claim=f"Spontaneous backtracking falls when one does this: {row['arm']}.",
                status=status,
                because=f"With it, {unit} changes by {_points(row, what)} points to {row[share]:.1%}; {random}.",
                rule="supported: the interval of the change is below zero, and that of random ablations of equal norm, "
                "pooled, includes zero; refuted: above zero; invalid: random ablations change it as well",
                estimates={"change": change},
            )
        )
    return verdicts


def _points(row: pd.Series, what: str) -> str:
    return f"{100 * row[what]:+.1f} [{100 * row[f'{what}_low']:.1f}, {100 * row[f'{what}_high']:.1f}]"


def _estimate(row: pd.Series, what: str) -> Estimate:
    ends = row[f"{what}_low"], row[f"{what}_high"]
    return Estimate(row[what], *ends, int(row["n_prompts"]), "cluster bootstrap", "share")


def _beside(
    count: Count,
    outcomes: Sequence[Outcome],
    plain: Sequence[Outcome],
    prompts: Sequence[str],
    names: tuple[str, str],
    draws: int,
    seed: int,
) -> dict[str, float]:
    """A share with its interval, and its difference from the same share with nothing taken out, same prompts."""
    (num, den), (num_0, den_0) = count(outcomes, prompts), count(plain, prompts)

    def difference(w: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            found: FloatArray = (w @ num) / (w @ den) - (w @ num_0) / (w @ den_0)
        return found

    unknown = Estimate(np.nan, np.nan, np.nan, 0, "no scored text")
    known = den.sum() > 0
    share = ratio_of_sums(num, den, np.random.default_rng(seed), draws, icc=0.0) if known else unknown
    both = known and den_0.sum() > 0
    change = weighted_bootstrap(difference, len(num), np.random.default_rng(seed), draws) if both else unknown
    low, high = ("low", "high") if names[0] == "share" else (f"{names[0]}_low", f"{names[0]}_high")
    return {
        names[0]: share.value,
        low: share.low,
        high: share.high,
        names[1]: change.value,
        f"{names[1]}_low": change.low,
        f"{names[1]}_high": change.high,
    }


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
