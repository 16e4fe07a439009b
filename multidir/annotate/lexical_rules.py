"""The word patterns behind `lexical/1`, in English, for sentences in lower case.

Change a pattern and the version of the annotator changes with it: labels carry that name.
"""

from __future__ import annotations

import re


def _any_of(*patterns: str) -> re.Pattern[str]:
    """One pattern that matches where any of them does."""
    return re.compile("|".join(patterns))


_START = r"^(?:oh|hmm|ah|but|so|no|okay|and|or)?[,!. ]*"

TURN = _any_of(
    r"\bwait,? (?:but )?(?:no|actually|maybe|perhaps|another|here's)\b",
    r"\bno,? wait\b",
    r"\bhold on\b",
    r"\bscratch that\b",
    _START + r"(?:no|actually),",
    r"\b(?:made|was|see) (?:a|an|my|the) (?:mistake|error)\b",
    r"\bi (?:was wrong|miscounted|misread|misunderstood|overlooked|messed up|mixed up)\b",
    r"\blet(?:'s| me) (?:correct|redo|start over|start again|try again|go back)\b",
    r"\blet(?:'s| me) think (?:again|differently)\b",
    r"\b(?:is|are|that's) out\b",
    r"\brules? (?:that|it|this) out\b",
    r"^(?:maybe|perhaps) another (?:approach|way)\b",
    r"\b(?:better|simpler|different) (?:approach|way) (?:is|would be|might be)\b",
    r"^maybe not\b",
)
"""Enough alone for backtracking."""

WAIT = re.compile(_START + r"wait\b")
"""An opening "wait" is backtracking too, unless GOES_ON matches."""

GOES_ON = _any_of(_START + r"wait[, ]+(?:so|let me (?:make sure|double|see|check))\b", r"\?")
"""Asks, checks or only goes on."""

OTHERS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "initializing",
        _any_of(
            r"^(?:okay|alright|all right|ok)[,. ]+(?:so|let|i)\b",
            r"\bi need to (?:figure out|find|explain|design|determine)\b",
            r"\bi(?:'ve| have) (?:this|got) (?:this )?(?:problem|question|riddle|puzzle)\b",
            r"\bthe (?:question|problem) (?:is|asks)\b",
            r"\blet me (?:start|begin|break this down|parse|try to understand|read)\b",
            r"\bstep by step\b",
        ),
    ),
    (
        "uncertainty-estimation",
        _any_of(
            r"\bnot (?:entirely |exactly |completely |totally |really |quite )?(?:sure|certain|clear)\b",
            r"\b(?:unsure|confused|confusing|tricky|challenging|i wonder|make sure|double-check|might not)\b",
            r"\bhow (?:do|would|can|could) (?:i|we|you)\b",
            r"^(?:but )?wait\b",
            r"\bis (?:that|this|it) (?:right|correct|true|possible)\b",
            r"^but (?:that|how|what if|maybe|is|does|again|then|i'm)\b",
            r"^hmm[,. ]+(?:that|that's|not|but|maybe)\b",
        ),
    ),
    (
        "example-testing",
        _any_of(
            r"\bfor (?:example|instance)\b",
            r"\blet's (?:say|suppose|take|try|test|consider)\b",
            r"\blet me (?:test|try|take|check|compute|calculate)\b",
            r"\b(?:suppose|imagine)\b",
            r"^(?:like|say),? ",
            r"^(?:so,? )?(?:if )?n = \d",
            r"^(?:calculating|testing|what if)\b",
            r"^maybe (?:using|a|they|i can|i could)\b",
            r"^or (?:perhaps|maybe)\b",
        ),
    ),
    (
        "adding-knowledge",
        _any_of(
            r"\bi (?:remember|recall|know|learned|believe|think i)\b",
            r"\bi've (?:heard|read|seen|learned)\b",
            r"\b(?:defined as|known as|refers to|according to|the formula|in general|such as)\b",
            r"\b(?:usually|typically)\b",
            r"^(?:a|an|some|people|there's|there are|these)\b",
        ),
    ),
)
"""In this order: the first that matches labels the sentence; deduction is what remains."""
