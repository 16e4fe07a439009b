"""What is claimed: a status with its sentence, the estimates behind it and the rule that decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from multidir.stats.estimate import Estimate


class Status(Enum):
    """How a claim came out; each member carries the words people read."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDETERMINED = "undetermined"
    INVALID = "invalid"


@dataclass(frozen=True)
class Verdict:
    """A claim, how it came out and why. It has no truth value: read the status."""

    claim: str
    """The claim as one plain sentence."""
    status: Status
    because: str
    """One sentence with the numbers that decided."""
    rule: str
    """The decision rule, stated before the data were seen."""
    estimates: dict[str, Estimate] = field(default_factory=dict)
    label: str = ""
    """The verdict in a word or two, for claims that have more outcomes than yes and no."""
    would_decide: str = ""
    """Of a claim that is open: what it would take."""

    def __bool__(self) -> bool:
        raise TypeError("a verdict is not a truth value; compare verdict.status with Status.SUPPORTED")

    def __str__(self) -> str:
        return f"{self.status.value}: {self.claim} {self.because}"
