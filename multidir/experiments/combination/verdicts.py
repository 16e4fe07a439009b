"""Do the directions add or interact? From counts to one verdict for each pair, with the controls that it passed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol

import numpy as np

from multidir.errors import DesignError
from multidir.experiments.combination import controls as checks
from multidir.experiments.combination.interaction import FactorialFit, fit_factorial
from multidir.experiments.combination.layout import Layout, read_layout
from multidir.experiments.combination.pair_axes import pair_axes
from multidir.experiments.combination.pair_reading import Evidence, read_pair
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.tally import Tally
from multidir.records.combination import Combination, Control, State
from multidir.stats.bootstrap import draw_weights
from multidir.stats.contrast import holm
from multidir.types import FloatArray

PLANTS = {
    "plant:additive": Combination.ADDITIVE,
    "plant:and": Combination.SYNERGY,
    "plant:threshold": Combination.THRESHOLD_POOLING,
    "plant:antagonist": Combination.ANTAGONISM,
}
"""Known answers, as they must be read before anything real is."""

Cosines = Mapping[tuple[str, str], float]
"""Cosine of two directions, by their names in either order."""


class Settings(Protocol):
    """The settings of analysis/combination that this module reads."""

    @property
    def rules(self) -> CombinationRules: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102
    @property
    def shuffles(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def pairs(self) -> tuple[str, ...]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class PairResult:
    """One pair: what both axes say, what the controls say, and the verdict."""

    evidence: Evidence
    reading: Combination
    """Before any control was looked at."""
    label: Combination
    controls: tuple[Control, ...]
    reason: str
    """Why the label is not the reading; empty when it is."""


@dataclass(frozen=True, eq=False)
class Combined:
    """The analysis of one tally."""

    tally: Tally
    layout: Layout
    fit: FactorialFit
    weights: FloatArray
    """(draws, m) float64. Bootstrap weights of prompts."""
    pairs: tuple[PairResult, ...]
    notes: tuple[str, ...]


def combine(tally: Tally, settings: Settings, cosines: Cosines | None = None) -> Combined:
    """Analyse every pair that was run together.

    Args:
        tally: Counts by prompt and cell.
        settings: Rules, number of resamples and shuffles, seed.
        cosines: Of the directions, where they are known.
    Raises:
        DesignError: no unsteered cell, no pair, or two directions that are nearly one.
    """
    rules = settings.rules
    check_cosines(cosines or {}, rules)
    rng = np.random.default_rng(settings.seed)
    weights = draw_weights(len(tally.prompts), settings.draws, rng)
    layout = replace(read_layout(tally), wanted=named_pairs(settings.pairs, tally.directions))
    fit = fit_factorial(tally, layout, rules.check_alpha)
    evidence = gather(tally, layout, fit, weights, rules, cosines or {})
    common = [
        checks.shuffle_control(tally, layout, rules, settings.shuffles, rng),
        *(plant_control(tally, name, weights, rules) for name in PLANTS),
    ]
    deltas = checks.random_deltas(tally)
    own = {
        j: [
            checks.sham_control(tally, layout, j, weights, rules),
            checks.flip_control(tally, layout, j, weights),
        ]
        for j in range(len(tally.directions))
    }
    pairs = []
    for item in evidence:
        i, j = item.pair
        reading = read_pair(item, rules)
        found = (
            checks.loop_control(item, rules),
            checks.coherence_control(item, rules),
            checks.against_random(item, reading, deltas, rules),
            checks.norm_control(item),
            *own[i],
            *own[j],
            *checks.beside_controls(tally, item, reading, rules),
            checks.orthogonal_control(tally, item, rules),
            *common,
        )
        pairs.append(PairResult(item, reading, *judge(item, reading, found)))
    return Combined(tally, layout, fit, weights, tuple(pairs), (*layout.notes, *_fit_notes(fit, tally)))


def readings(tally: Tally, settings: Settings, cosines: Cosines | None = None) -> list[tuple[Evidence, Combination]]:
    """What both axes say of every pair, before any control."""
    weights = draw_weights(len(tally.prompts), settings.draws, np.random.default_rng(settings.seed))
    layout = replace(read_layout(tally), wanted=named_pairs(settings.pairs, tally.directions))
    fit = fit_factorial(tally, layout, settings.rules.check_alpha)
    found = gather(tally, layout, fit, weights, settings.rules, cosines or {})
    return [(item, read_pair(item, settings.rules)) for item in found]


def named_pairs(pairs: Sequence[str], names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs that are written as `a+b`, as places among the directions, the lower one first.

    Raises:
        DesignError: a name that no direction has, or anything but two different ones.
    """
    found = []
    for text in pairs:
        parts = [part.strip() for part in text.split("+")]
        if len(set(parts)) != 2 or len(parts) != 2 or not set(parts) <= set(names):
            raise DesignError(f"--pairs {text} is not two of the directions {', '.join(names)}, joined by +")
        i, j = sorted(names.index(part) for part in parts)
        found.append((i, j))
    return tuple(found)


def gather(
    tally: Tally, layout: Layout, fit: FactorialFit, weights: FloatArray, rules: CombinationRules, cosines: Cosines
) -> list[Evidence]:
    """Both axes of every pair, claims adjusted over all of them."""
    deltas = [fit.delta(*pair) for pair in layout.pairs]
    adjusted = holm(np.array([delta.p_beyond(rules.inner_margin) for delta in deltas]))
    found = []
    for pair, delta, p in zip(layout.pairs, deltas, adjusted, strict=True):
        cosine = _cosine(cosines, *(tally.directions[d] for d in pair))
        axes = pair_axes(tally, layout, pair, weights, rules, fit.others_off)
        found.append(Evidence(pair, delta, float(p), axes, math.log2(math.sqrt(2 + 2 * cosine))))
    return found


def judge(
    evidence: Evidence, reading: Combination, found: tuple[Control, ...]
) -> tuple[Combination, tuple[Control, ...], str]:
    """The verdict: the reading, unless a control forbids it. A failed control gives `invalid`, never a weaker claim."""
    failed = [c for c in found if c.state is State.FAILED]
    if failed:
        return Combination.INVALID, found, " ".join(f"{c.name} failed: {c.because}" for c in failed)
    if reading not in (Combination.SYNERGY, Combination.ANTAGONISM):
        return reading, found, ""
    must_pass = ("loops", "random pairs") if reading is Combination.SYNERGY else ()
    doubts = [c.name for c in found if c.state is State.OPEN and not c.name.startswith(("sham", "sign", "norm"))]
    doubts += [c.name for c in found if c.name in must_pass and c.state is State.NOT_RUN]
    if not evidence.scale_robust:
        doubts.append("the sign on all three scales")
    if doubts:
        words = f"Both axes say {reading.value}, but this does not hold without: {', '.join(doubts)}."
        return Combination.UNDETERMINED, found, words
    return reading, found, ""


def plant_control(tally: Tally, name: str, weights: FloatArray, rules: CombinationRules) -> Control:
    """A known answer on the same model must be read right."""
    if not tally.kinds(name):
        return Control(name, State.NOT_RUN, f"There are no rows with control `{name}`.")
    part = tally.of_control(name)
    layout = read_layout(part)
    (evidence, *_) = gather(part, layout, fit_factorial(part, layout, rules.check_alpha), weights, rules, {})
    reading = read_pair(evidence, rules)
    state = State.PASSED if reading is PLANTS[name] else State.FAILED
    words = f"planted {PLANTS[name].value}, read {reading.value}"
    numbers = f"delta {evidence.delta.estimate()}, 1/p {evidence.axes.exponent}"
    return Control(name, state, f"{words[0].upper()}{words[1:]}; {numbers}.")


def check_cosines(cosines: Cosines, rules: CombinationRules) -> None:
    """Refuse directions that are nearly one: a pair of them is a sham pair.

    Raises:
        DesignError: names the pairs.
    """
    close = [f"{a} and {b} ({cos:.2f})" for (a, b), cos in cosines.items() if abs(cos) > rules.max_cosine]
    if close:
        raise DesignError(
            f"{', '.join(close)} have a cosine beyond {rules.max_cosine:g}: together they are one direction at twice "
            "its dose, and no design can tell more; keep one of them, or make them orthogonal first"
        )


def _cosine(cosines: Cosines, a: str, b: str) -> float:
    return cosines.get((a, b), cosines.get((b, a), 0.0))


def _fit_notes(fit: FactorialFit, tally: Tally) -> list[str]:
    shown = fit.shown
    notes = [
        f"{shown.n_zero} of {len(tally.prompts)} prompts have no backtracking in any cell, {shown.n_full} have nothing "
        f"else; they say nothing on log-odds and are left out there. {shown.n_used} prompts are used."
    ]
    unknown = [
        " and ".join(tally.directions[d] for d in pair)
        for pair in combinations(range(len(tally.directions)), 2)
        if math.isnan(fit.delta(*pair).value)
    ]
    if unknown:
        notes.append(f"Not estimable, because cells are missing or never backtrack: {', '.join(unknown)}.")
    if not math.isnan(fit.p_higher):
        which = "with all others off" if fit.others_off else "averaged over the others"
        notes.append(f"Three-way and higher interactions: p = {fit.p_higher:.2g}; pairs are read {which}.")
    return notes
