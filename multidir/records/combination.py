"""How two directions act together: the possible verdicts, in the words people read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Combination(Enum):
    """The verdict on a pair; `sentence` is what it means."""

    ADDITIVE = "additive"
    SYNERGY = "synergy"
    ANTAGONISM = "antagonism"
    THRESHOLD_POOLING = "threshold pooling"
    INDEPENDENT_CAUSES = "independent causes"
    NORM_ONLY = "norm only"
    REDUNDANT = "redundant"
    UNDETERMINED = "undetermined"
    INVALID = "invalid"

    @property
    def sentence(self) -> str:
        """What is claimed about the two."""
        return _SENTENCES[self]

    @property
    def is_claim(self) -> bool:
        """Whether it says something about the two directions."""
        return self not in (Combination.UNDETERMINED, Combination.INVALID)


_SENTENCES = {
    Combination.ADDITIVE: "They add: on log-odds, and as doses of one direction do.",
    Combination.SYNERGY: "Together they do more than any sharing of doses can explain.",
    Combination.ANTAGONISM: "Together they do less than one of them does alone.",
    Combination.THRESHOLD_POOLING: (
        "They pool: both feed one read-out with a curved dose response, and the apparent interaction is that curve."
    ),
    Combination.INDEPENDENT_CAUSES: "Each acts by itself: the pair does what two separate causes do.",
    Combination.NORM_ONLY: "Only the size of the push counts: the pair acts like one direction of the same norm.",
    Combination.REDUNDANT: "They overlap: the pair does less than two separate causes would.",
    Combination.UNDETERMINED: "The data do not decide between the possible answers.",
    Combination.INVALID: "A control failed, so nothing is claimed.",
}


class State(Enum):
    """How a control came out."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "not decided"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Control:
    """One check of a verdict, with the sentence that says why."""

    name: str
    state: State
    because: str
