"""The verdict on a pair in sentences: what is claimed, the numbers that decided, and how many prompts would decide."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from multidir.experiments.combination.pair_reading import Doses, Evidence, LogOdds, dose_axis, log_odds_axis, silent
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.verdicts import Combined, PairResult
from multidir.experiments.deciding import rounded_up
from multidir.records.combination import Combination, State
from multidir.records.verdict import Status, Verdict
from multidir.stats.estimate import Estimate

TOP = 1.49
"""Lower ends of 1/p from here on are the end of the usual ladder, not a measurement."""


AVERAGE = "averaged over all places"
"""What a verdict is about when nobody says what stands where."""


def absent_words(k: int) -> str:
    """What a verdict is about when it is: places at which none of k directions stands in the text already."""
    return f"where {'neither' if k == 2 else f'none of the {k} directions'} stands in the text already"


def average_sentence(evidence: Evidence, reading: Combination) -> str:
    """What the same pair would be called over all places: reported beside the verdict, which it does not change."""
    delta = evidence.delta.estimate()
    return (
        f"Averaged over all places, whatever stands in the text there, the interaction is {delta.value:+.2f} "
        f"[{delta.low:.2f}, {delta.high:.2f}] and both axes together would say {reading.value}."
    )


def pair_verdict(
    result: PairResult, names: tuple[str, str], rules: CombinationRules, places: str = AVERAGE, beside: str = ""
) -> Verdict:
    """One pair's verdict as it is written, printed and shown on the page.

    Args:
        result: of the pair.
        names: of its directions.
        rules: that decided.
        places: what it is about.
        beside: what is said over all places, where that is something else.
    """
    evidence, label = result.evidence, result.label
    status = {Combination.UNDETERMINED: Status.UNDETERMINED, Combination.INVALID: Status.INVALID}
    parts = [result.reason, delta_sentence(evidence, rules), dose_sentence(evidence, rules)]
    if label is Combination.UNDETERMINED and not result.reason:
        parts.append(silent_sentence(evidence, names, rules) or undecided_sentence(evidence, rules))
    parts.append(beside or "It is not held apart what stands in the text already.")
    return Verdict(
        claim=f"Directions {names[0]} and {names[1]}, {places}: {label.value}. {label.sentence}",
        status=status.get(label, Status.SUPPORTED),
        because=" ".join(part for part in parts if part) + " " + controls_sentence(result),
        rule=rule_sentence(rules),
        estimates={
            "interaction": evidence.delta.estimate(),
            "exponent 1/p": evidence.axes.exponent,
            "Bliss residual": evidence.axes.hazard,
            "interaction in shares": evidence.axes.share,
        },
        label=label.value,
    )


def delta_sentence(evidence: Evidence, rules: CombinationRules) -> str:
    """Axis 1 in words."""
    found = evidence.delta.estimate()
    if not found.has_interval:
        return "The interaction on log-odds cannot be estimated from these cells."
    words = {
        LogOdds.ADDITIVE: f"within {rules.outer_margin:g} of adding up",
        LogOdds.SYNERGY: "more than adding up",
        LogOdds.ANTAGONISM: "less than adding up",
        LogOdds.UNDETERMINED: "neither clearly adding up nor clearly not",
    }[log_odds_axis(evidence, rules)]
    return f"On log-odds the interaction is {found.value:+.2f} [{found.low:.2f}, {found.high:.2f}], {words}."


def dose_sentence(evidence: Evidence, rules: CombinationRules) -> str:
    """Axis 2 in words: the single dose that the pair equals."""
    axes, where = evidence.axes, dose_axis(evidence.axes, rules)
    if where is Doses.NOT_RUN:
        return "Without a dose ladder of both, nothing is said on doses."
    if where is Doses.FLAT:
        flat = " and ".join(axes.flat)
        return f"Twice the dose of {flat} alone does not clearly do more than once, so nothing is said on doses."
    e = axes.exponent
    if math.isinf(e.high) and e.value >= e.low >= TOP:
        return f"The pair does more than any dose of one direction that was run: 1/p is at least {e.low:.1f}."
    if e.high < 0:
        return "The pair does less than one of the two at the same dose."
    high = "no upper end" if math.isinf(e.high) else f"{e.high:.2f}"
    return (
        f"The pair equals {2**e.value:.2f} times the dose of one direction: 1/p = {e.value:.2f} [{e.low:.2f}, {high}] "
        f"(1 adds doses, {evidence.norm_exponent:.2g} adds norms, 0 is the better one alone)."
    )


def controls_sentence(result: PairResult) -> str:
    """Which controls passed, and which were not run."""
    parts = []
    for state in (State.PASSED, State.OPEN, State.NOT_RUN):
        names = dict.fromkeys(_kind(c.name) for c in result.controls if c.state is state)
        if names:
            parts.append(f"{state.value} {', '.join(names)}")
    return f"Controls: {'; '.join(parts)}."


def _kind(control: str) -> str:
    """`sham pair of hesitation` is a sham pair, and all plants are known answers."""
    return "known answers" if control.startswith("plant:") else control.partition(" of ")[0]


def rule_sentence(rules: CombinationRules) -> str:
    """The pre-registered rule in one sentence."""
    return (
        f"interaction claimed beyond {rules.inner_margin:g} log-odds (Holm at {rules.alpha:g}), additive within "
        f"{rules.outer_margin:g} (90 % interval); dose-additive with 1/p within {rules.ladder_low:g} to "
        f"{rules.ladder_high:g}, other than dose-additive when 1 is excluded; synergy needs both, the same sign on "
        f"log-odds, hazards and shares, a loop rate at most {100 * rules.max_loop_difference:g} point higher and the "
        f"{100 * rules.null_quantile:g} % quantile of {rules.min_random} random pairs exceeded; "
        "a failed control makes the verdict invalid"
    )


def silent_sentence(evidence: Evidence, names: tuple[str, str], rules: CombinationRules) -> str:
    """Which direction does nothing visible alone, so that nothing can be said on how effects add; empty for none."""
    found = [f"{names[i]} ({evidence.axes.lifts[i].value:+.2f})" for i in silent(evidence.axes, rules)]
    if not found:
        return ""
    return (
        f"Alone {' and '.join(found)} does not raise the log-odds clearly and by at least {rules.outer_margin:g}, "
        "so that there are no two effects of which to say how they add; give a larger dose."
    )


def undecided_sentence(evidence: Evidence, rules: CombinationRules) -> str:
    """What it would take to decide, where a number of prompts would."""
    open_axes = (log_odds_axis(evidence, rules) is LogOdds.UNDETERMINED, dose_axis(evidence.axes, rules))
    if not open_axes[0] and open_axes[1] in (Doses.ONE, Doses.ABOVE, Doses.BELOW):
        return "Both axes are clear, but the pair lies between two of the answers."
    wanted = prompts_needed(evidence, rules)
    return f"About {wanted} prompts of this kind would decide." if wanted else ""


def prompts_needed(evidence: Evidence, rules: CombinationRules) -> int | None:
    """Prompts that would decide both axes if the estimates stayed as they are; None when no number would.

    Intervals shrink as one over the root of the number of prompts. A value between the margins is never decided, so
    the nearer of the two decisions is taken.
    """
    factors = [_delta_factor(evidence, rules), _dose_factor(evidence.axes.exponent, rules)]
    if any(f is None or not math.isfinite(f) for f in factors):
        return None
    wanted = max(f for f in factors if f is not None) * max(evidence.delta.n, 2)
    return rounded_up(wanted)


def _delta_factor(evidence: Evidence, rules: CombinationRules) -> float | None:
    size, error = abs(evidence.delta.value), evidence.delta.error
    if math.isnan(error) or math.isnan(size):
        return None
    claim = (size - rules.inner_margin) / stats.norm.ppf(0.975)
    accept = (rules.outer_margin - size) / stats.norm.ppf(0.95)
    return max(1.0, float((error / max(claim, accept)) ** 2))


def _dose_factor(exponent: Estimate, rules: CombinationRules) -> float | None:
    ends = np.array([exponent.low, exponent.high])
    if not np.isfinite(ends).all():
        return None
    half, value = float(np.ptp(ends)) / 2, exponent.value
    inside = min(value - rules.ladder_low, rules.ladder_high - value)
    outside = abs(value - 1) / 1.3  # the interval that excludes 1 is the wider one
    return max(1.0, (half / max(inside, outside, 1e-9)) ** 2)


def headline(found: Combined) -> str:
    """All verdicts in one line, pairs by verdict."""
    groups: dict[str, list[str]] = {}
    for result in found.pairs:
        names = " + ".join(found.tally.directions[d] for d in result.evidence.pair)
        groups.setdefault(result.label.value, []).append(names)
    return "; ".join(f"{label}: {', '.join(pairs)}" for label, pairs in groups.items())
