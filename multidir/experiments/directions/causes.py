"""The tiny pair's planted rule, measured in what it wrote: backtracking by hesitation and mistake."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from multidir.errors import ConfigError
from multidir.methods.probe_rows import ProbeRows
from multidir.organism.grammar import StepFacts, parse, step_outcomes
from multidir.organism.rule import RULES
from multidir.stats.proportions import wilson
from multidir.store.activations import ActivationStore
from multidir.types import FloatArray


def rates_by_cause(texts: Iterable[str], rule: str) -> pd.DataFrame:
    """How often a step is taken back, for each combination of the two causes, beside the planted rate.

    Args:
        texts: reasoning parts of traces.
        rule: name of the rule that the reasoning model was trained with.
    Returns:
        Four rows: hesitation, mistake, rate, low, high, n, planted. Steps are taken as independent (Wilson).
    """
    counts: dict[tuple[bool, bool], list[int]] = {(h, m): [0, 0] for h in (False, True) for m in (False, True)}
    for text in texts:
        for step, taken_back in step_outcomes(parse(text)):
            cell = counts[step.hesitates, step.mistaken]
            cell[0] += taken_back
            cell[1] += 1
    rows = []
    for (hesitates, mistaken), (hits, n) in counts.items():
        found = wilson(hits, n, scale="share of steps")
        planted = RULES[rule].probability(hesitates, mistaken)
        rows.append(
            {"hesitation": hesitates, "mistake": mistaken, "rate": found.value, "low": found.low, "high": found.high}
            | {"n": n, "planted": planted}
        )
    return pd.DataFrame(rows)


def causes_sentence(rates: pd.DataFrame) -> str:
    """What the table says in one sentence."""
    value = {(row["hesitation"], row["mistake"]): row["rate"] for _, row in rates.iterrows()}
    return (
        f"a step is taken back in {value[True, True]:.0%} of cases with hesitation and mistake, "
        f"{value[True, False]:.0%} with hesitation alone, {value[False, True]:.0%} with a mistake alone, "
        f"{value[False, False]:.1%} with neither"
    )


def rule_scores(store: ActivationStore, annotator: str, rows: ProbeRows, rule: str) -> FloatArray:
    """How likely the planted rule makes backtracking at each sentence, given all that was written before it.

    The AUROC of this score is the ceiling of every probe that reads before the sentence: under the rule nothing else
    tells sentences apart. After anything but a step it is 0.

    Args:
        store: activations of the tiny pair's own traces.
        annotator: whose sentences `rows` are.
        rows: n sentences.
        rule: name of the rule that the reasoning model was trained with.
    Returns:
        (n,) float64.
    Raises:
        ConfigError: no such rule, or a sentence is not one of the tiny pair's language.
    """
    if rule not in RULES:
        raise ConfigError(f"no rule {rule!r}; there are {', '.join(RULES)}")
    chars = {(s.trace_id, s.index): s.char_start for s in store.labels(annotator)}
    wanted = [(store.traces[t].id, int(i)) for t, i in zip(rows.trace, rows.index, strict=True)]
    told: dict[tuple[str, int], float] = {}
    for trace in store.iterate_traces():
        step: StepFacts | None = None
        for sentence in parse(trace.text):
            p = 0.0 if step is None else RULES[rule].probability(step.hesitates, step.mistaken)
            told[trace.id, sentence.start] = p
            step = sentence.step
    lost = [key for key in wanted if (key[0], chars[key]) not in told]
    if lost:
        raise ConfigError(
            f"{len(lost)} sentences are not in the tiny pair's language (the first: {lost[0]}); drop --rule"
        )
    return np.array([told[trace, chars[trace, index]] for trace, index in wanted])
