"""What a study found, for the top of its page: the answer in two sentences, the verdicts in order, and what is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from multidir.records.verdict import Status, Verdict
from multidir.report import words
from multidir.report.blocks import TableBlock
from multidir.report.page import Section

ANSWERS = ("analysis/steering", "analysis/combination")
"""Recipes whose verdicts answer the question of the page; those of the others stand below them."""

OPEN = "What is undetermined, and what would decide it?"
NOT_MEASURED = "Whether directions add or interact was not measured."
TIMES = {"fold": " times the unsteered level", "share": " of its sentences", "interaction": " on log-odds"}
"""How the first estimate of a verdict goes on, by its name."""


def answer(verdicts: Sequence[Verdict], manifests: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Two sentences: what steering did, and how directions combine; without verdicts, the last two headlines.

    Args:
        verdicts: of the recipes in `ANSWERS`, as they were written.
        manifests: of all runs.
    """
    plain = [verdict for verdict in verdicts if not verdict.label][:2]
    pairs = [verdict for verdict in verdicts if verdict.label]
    if not plain and not pairs:
        lines = [str(manifest["notes"].get("headline", "")) for manifest in manifests]
        return tuple(words.sentence(line) for line in lines[-2:] if line) or ("Nothing was measured.",)
    first = words.capital("; ".join(map(_held, plain))) + "."
    second = _combined(pairs[0]) if pairs else NOT_MEASURED
    return (*([first] if plain else []), second)


def open_section(verdicts: Sequence[Verdict]) -> Section:
    """The claims that are not decided, each with what would decide it."""
    left = [verdict for verdict in verdicts if verdict.status in (Status.UNDETERMINED, Status.INVALID)]
    if not left:
        return Section(OPEN, "Nothing: each of the claims above was decided by its rule.")
    rows = [(v.claim, v.status.value, v.because, v.would_decide or _advice(v.status)) for v in left]
    table = pd.DataFrame(rows, columns=["claim", "stands", "because", "what would decide it"])
    return Section(OPEN, "", (TableBlock.of(table, "Claims that are open, or whose controls failed"),))


def _advice(status: Status) -> str:
    return "The control that failed has to pass first." if status is Status.INVALID else "See the reason."


def _held(verdict: Verdict) -> str:
    """A claim and how it came out, as a clause."""
    claim = verdict.claim.rstrip(".")
    claim = claim[:1].lower() + claim[1:]
    clause = {
        Status.SUPPORTED: claim,
        Status.REFUTED: f"it does not hold that {claim}",
        Status.UNDETERMINED: f"whether {claim} is open",
        Status.INVALID: f"whether {claim} cannot be said, because a control failed",
    }[verdict.status]
    return f"{clause}{_number(verdict)}"


def _combined(verdict: Verdict) -> str:
    """The claim on a pair as one sentence: its verdict, the number, and what the verdict means."""
    label, _, meaning = verdict.claim.partition(". ")
    tail = f"; {meaning[:1].lower()}{meaning[1:]}" if meaning else "."
    return f"{label.rstrip('.')}{_number(verdict)}{tail}"


def _number(verdict: Verdict) -> str:
    """The first estimate of a verdict, in brackets."""
    name, found = next(iter(verdict.estimates.items()), ("", None))
    if found is None or words.is_unknown(found.value):
        return ""
    if name == "share":
        text = found.percent
    else:
        sign, digits = ("+", 2) if name == "interaction" else ("", 1 if name == "fold" else 2)
        text = words.estimate(found.value, found.low, found.high, digits, sign)
    return f" ({text}{TIMES.get(name, f' {name}')})"
