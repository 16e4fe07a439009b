"""What would decide a claim that is open: how many prompts, if its estimates stayed where they are."""

from __future__ import annotations

import math

from multidir.records.verdict import Status
from multidir.stats.estimate import Estimate

_OUT_OF_REACH = 1000.0
"""From this many times the prompts on, a number of prompts is no advice."""


def would_decide(status: Status, *questions: tuple[Estimate, float], ratio: bool = False) -> str:
    """The sentence that says how many prompts would take every interval off the bound that it holds.

        n' = n (half / distance)^2        (half: from the value to the end of the interval beyond the bound)

    Args:
        status: of the claim; unless it is undetermined there is nothing to say.
        questions: estimates, each with a bound of the rule. One that its interval leaves out is decided already.
        ratio: whether intervals shrink on the logarithm.
    """
    if status is not Status.UNDETERMINED:
        return ""
    held = [(found, bound) for found, bound in questions if found.low <= bound <= found.high]
    if not held:
        unknown = any(not found.has_interval for found, _ in questions)
        more = "more prompts or random directions, or a dose that leaves text which can be counted"
        return f"An interval is needed first: {more}." if unknown else ""
    n = max(found.n for found, _ in held)
    factor = max(_factor(found, bound, ratio) for found, bound in held)
    if factor > _OUT_OF_REACH:
        return "No number of prompts within reach would: an estimate lies too near to its bound."
    return f"About {rounded_up(factor * max(n, 2))} prompts, if the estimates stayed where they are; there were {n}."


def rounded_up(count: float) -> int:
    """A number of prompts as people plan it: two digits, rounded up."""
    digits = 10 ** max(int(math.log10(max(count, 1))) - 1, 0)
    return int(math.ceil(count / digits) * digits)


def _factor(found: Estimate, bound: float, ratio: bool) -> float:
    end = found.high if bound > found.value else found.low
    if found.value == 0 and bound > 0:  # nothing was seen, and the upper end of a share falls as 1/n
        return end / bound
    points: tuple[float, ...] = (found.value, end, bound)
    if ratio:
        points = tuple(math.log(point) if point > 0 else -math.inf for point in points)
    value, end, bound = points
    return ((end - value) / (bound - value)) ** 2 if bound != value and math.isfinite(end) else math.inf
