"""The paper's published numbers, each with its source, and what of them held here by a stated rule.

Sources are graded as in the project's notes: the text of arXiv 2507.12638, its code and data files, or measured from
the vectors and traces published with it. All are about Llama-3.1-8B and DeepSeek-R1-Distill-Llama-8B.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from multidir.records.verdict import Status, Verdict
from multidir.stats.estimate import Estimate

Unit = Literal["cosine", "share", "residual units", "dimensions"]

_VECTORS = "published vectors, block 10"
_TRACES = "300 published traces"
_WAITS: tuple[str, Unit, int] = ("data of Fig. 4", "share", 3)


@dataclass(frozen=True)
class Published:
    """One number of the paper."""

    key: str
    what: str
    """As a noun phrase."""
    value: float
    source: str
    unit: Unit
    digits: int = 3
    """Digits after the point in print: a difference below half of the last one is none."""
    without_effect: float | None = None
    """What the number would be if there were nothing to it; none where that has no meaning."""
    any_pair: bool = True
    """False for numbers in the units of one model, with which those of another pair cannot be compared."""

    @property
    def rounding(self) -> float:
        """Half of the last printed digit."""
        return 0.5 * 10.0**-self.digits


LABELS = {
    "initializing": (1.319, 1.394, 0.779, -0.358),
    "adding-knowledge": (0.393, 0.402, 0.726, -0.183),
    "deduction": (0.233, 0.240, 0.789, 0.122),
    "example-testing": (0.412, 0.446, 0.777, 0.197),
    "backtracking": (0.631, 0.657, 0.716, math.nan),
    "uncertainty-estimation": (0.403, 0.424, 0.802, 0.345),
}
"""By label: length in the base and in the reasoning model, cosine between the two, and cosine with backtracking in the
reasoning model."""


def _of_labels() -> Iterable[Published]:
    for label, (base, reasoning, between, with_backtracking) in LABELS.items():
        for role, length in (("base", base), ("reasoning", reasoning)):
            what = f"length of the {role}-derived {label} direction"
            yield Published(f"length/{role}/{label}", what, length, _VECTORS, "residual units", any_pair=False)
        what = f"cosine of the two models, {label}"
        yield Published(f"between/{label}", what, between, _VECTORS, "cosine", without_effect=0.0)
        if not math.isnan(with_backtracking):
            what = f"cosine of {label} with backtracking"
            yield Published(f"label/{label}", what, with_backtracking, _VECTORS, "cosine", without_effect=0.0)


NUMBERS: dict[str, Published] = {
    item.key: item
    for item in (
        *_of_labels(),
        Published("rank", "dimensions that the six labels' directions span", 5, _VECTORS, "dimensions", 0),
        Published("share/backtracking", "share of sentences that are backtracking", 0.039, _TRACES, "share"),
        Published("share/recall", "share of backtracking sentences with wait or hmm", 0.63, _TRACES, "share", 2),
        Published("share/keywords", "keyword share of words, unsteered", 0.0055, _TRACES, "share", 4),
        Published(
            "peak/base",
            "highest keyword share along the base-derived direction",
            0.361,
            "data of Fig. 4",
            "share",
            without_effect=0.0068,
        ),
        Published("peak/noise", "highest keyword share under noise", 0.040, "data of Fig. 4", "share"),
        Published(
            "peak/grid", "highest keyword share of the offset grid", 0.519, "Fig. 2", "share", without_effect=0.007
        ),
        Published("wait/base", "highest share of Wait along the base-derived direction", 0.310, *_WAITS, 0.0022),
        Published("wait/noise", "highest share of Wait under noise", 0.031, *_WAITS),
        Published("wait/self", "highest share of Wait under self-amplification", 0.006, *_WAITS),
        Published("wait/mean", "highest share of Wait along the mean activation", 0.007, *_WAITS),
        Published("wait/deduction", "highest share of Wait along the deduction direction", 0.003, *_WAITS),
        Published("wait/initializing", "highest share of Wait along the initializing direction", 0.008, *_WAITS),
    )
}
"""Single figures, by key."""

RULE = (
    "supported: the published value, to its digits, lies in our interval and the value without effect does not; "
    "refuted: our interval excludes the published value; otherwise undetermined"
)


def beside(ours: Estimate, published: Published) -> Verdict:
    """Our number beside the published one.

    A number without an interval can be compared only when it is exact, such as a rank: equal or not.
    """
    exact = published.unit == "dimensions"
    if exact:
        holds: bool | None = ours.value == published.value
    elif not ours.has_interval:
        holds = None
    else:
        margin = published.rounding
        holds = ours.low - margin <= published.value <= ours.high + margin
        nothing = published.without_effect
        if holds and nothing is not None and ours.low <= nothing <= ours.high:
            holds = None
    status = {True: Status.SUPPORTED, False: Status.REFUTED, None: Status.UNDETERMINED}[holds]
    here = f"{ours.value:.{published.digits}f}"
    if ours.has_interval:
        here += f" [{ours.low:.{published.digits}f}, {ours.high:.{published.digits}f}]"
    return Verdict(
        claim=f"The {published.what} is {published.value:.{published.digits}f}.",
        status=status,
        because=f"Here it is {here}; published in {published.source}.",
        rule="equal or not" if exact else RULE,
        estimates={published.key: ours},
    )


def beside_table(ours: Mapping[str, Estimate], same_pair: bool) -> pd.DataFrame:
    """All our numbers that the paper has too, with how each came out.

    Args:
        ours: estimates by key of `NUMBERS`; keys that the paper lacks are left out.
        same_pair: whether the models are the paper's own; otherwise numbers in one model's units are left out.
    Returns:
        Columns key, what, unit, published, value, low, high, n, status, source; in the order of `NUMBERS`.
    """
    rows = []
    for key, published in NUMBERS.items():
        if key not in ours or not (same_pair or published.any_pair):
            continue
        found, verdict = ours[key], beside(ours[key], published)
        facts: dict[str, Any] = {"key": key, "what": published.what, "unit": published.unit}
        numbers = {"published": published.value, "value": found.value, "low": found.low, "high": found.high}
        rows.append({**facts, **numbers, "n": found.n, "status": verdict.status.value, "source": published.source})
    names = ["key", "what", "unit", "published", "value", "low", "high", "n", "status", "source"]
    return pd.DataFrame(rows, columns=names)


def count_statuses(table: pd.DataFrame) -> str:
    """How the comparisons came out, in one line."""
    counts = table["status"].value_counts()
    parts = [f"{counts[s.value]} {s.value}" for s in Status if s.value in counts]
    return f"of {len(table)} published numbers that we have too, {', '.join(parts) or 'none'}"
